import multiprocessing
from pathlib import Path

import pytest

from serving.errors import WeightsError
from serving.weights.publication import is_published, publish


def _silent(_sentence: str) -> None:
    return None


def _write_config(folder: Path) -> None:
    (folder / "config.json").write_text("{}")


def test_a_published_folder_holds_what_was_made(tmp_path: Path) -> None:
    path = publish(tmp_path / "key", _write_config, _silent)
    assert is_published(path)
    assert (path / "config.json").read_text() == "{}"


def test_nothing_is_there_when_making_fails(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        _write_config(folder)
        raise WeightsError("no", where="here", fix="none")

    with pytest.raises(WeightsError):
        publish(tmp_path / "key", fail, _silent)
    assert not (tmp_path / "key").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == [".key.lock"]


def test_what_a_killed_process_left_half_made_is_not_used(tmp_path: Path) -> None:
    leftover = tmp_path / ".key.partial-abc"
    leftover.mkdir()
    (leftover / "config.json").write_text("half")
    path = publish(tmp_path / "key", _write_config, _silent)
    assert (path / "config.json").read_text() == "{}"
    assert not leftover.exists()


def test_a_folder_whose_links_lead_nowhere_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.mkdir()
    (path / "config.json").symlink_to(tmp_path / "gone")
    assert not is_published(path)
    publish(path, _write_config, _silent)
    assert (path / "config.json").read_text() == "{}"


def test_a_disk_that_refuses_is_a_weights_error_that_says_where(tmp_path: Path) -> None:
    def full(_folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(WeightsError, match="No space left") as caught:
        publish(tmp_path / "key", full, _silent)
    assert caught.value.where == str(tmp_path / "key")


def _publish_and_count(path: Path, barrier, made, sentences) -> None:  # type: ignore[no-untyped-def]
    def make(folder: Path) -> None:
        made.put(1)
        _write_config(folder)

    barrier.wait()
    publish(path, make, sentences.put)


def test_two_processes_at_once_make_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, made, sentences = context.Barrier(2), context.Queue(), context.Queue()
    workers = [
        context.Process(
            target=_publish_and_count, args=(tmp_path / "key", barrier, made, sentences)
        )
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert made.get(timeout=10) == 1
    assert made.empty()
    assert is_published(tmp_path / "key")

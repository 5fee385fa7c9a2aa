import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from serving.errors import WeightsError
from serving.weights.store import CheckpointStore

_FORK = multiprocessing.get_context("fork")
_FILES = {"config.json": b"{}", "model.safetensors": b"weights", "extra/a.json": b"{}"}


def _silent(_sentence: str) -> None:
    return None


def _making(files: dict[str, bytes]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for name, content in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)

    return make


def _never(_folder: Path) -> None:
    raise AssertionError("it was there and whole")


def _put(
    root: Path, key: str, files: dict[str, bytes] | None = None, budget_bytes: int | None = None
) -> Path:
    """Have a checkpoint in the store, held by nobody."""
    store = CheckpointStore(root)
    with store.lease(key) as lease:
        store.ensure(key, _making(files or _FILES), _silent, budget_bytes)
    return lease.path


def _keys(root: Path) -> set[str]:
    return {entry.name for entry in root.iterdir() if not entry.name.startswith(".")}


def _blobs(root: Path) -> set[bytes]:
    return {blob.read_bytes() for blob in (root / ".store" / "blobs").iterdir()}


def _damage(file: Path) -> None:
    """Other bytes of the same size, later than what was there."""
    before = file.stat()
    file.write_bytes(b"x" * before.st_size)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))


def _left_half_made(root: Path) -> list[Path]:
    own = root / ".store"
    return [*(own / "partial").iterdir(), *(own / "removed").iterdir()]


# Files and folders


def test_a_checkpoint_is_a_plain_folder_with_what_was_made(tmp_path: Path) -> None:
    folder = _put(tmp_path, "key")
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink()
    }
    assert found == _FILES


def test_equal_files_of_two_checkpoints_are_stored_once(tmp_path: Path) -> None:
    one = _put(tmp_path, "one", {"config.json": b"1", "tokenizer.json": b"same"})
    two = _put(tmp_path, "two", {"config.json": b"2", "tokenizer.json": b"same"})
    assert (one / "tokenizer.json").samefile(two / "tokenizer.json")
    assert _blobs(tmp_path) == {b"1", b"2", b"same"}


def test_the_store_can_be_reached_by_a_link_and_moved(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    _put(tmp_path / "store", "key")
    (tmp_path / "store").rename(tmp_path / "moved")
    (tmp_path / "link").symlink_to(tmp_path / "moved")
    CheckpointStore(tmp_path / "link").ensure("key", _never, _silent)
    assert (tmp_path / "link" / "key" / "config.json").read_bytes() == b"{}"


def test_a_folder_from_before_there_was_a_store_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "key").mkdir()
    (tmp_path / "key" / "config.json").write_text("of unknown content")
    folder = _put(tmp_path, "key")
    assert (folder / "config.json").read_bytes() == b"{}"
    assert _left_half_made(tmp_path) == []


# Verification


def test_what_is_there_and_whole_is_not_made_again(tmp_path: Path) -> None:
    _put(tmp_path, "key")
    said: list[str] = []
    CheckpointStore(tmp_path).ensure("key", _never, said.append)
    assert said == []


def test_a_damaged_file_is_named_quarantined_and_made_again(tmp_path: Path) -> None:
    folder = _put(tmp_path, "key")
    _damage(folder / "model.safetensors")
    said: list[str] = []
    CheckpointStore(tmp_path).ensure("key", _making(_FILES), said.append)
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert "key/model.safetensors has the hash" in said[0]
    (aside,) = (tmp_path / ".store" / "quarantine").iterdir()
    assert aside.read_bytes() == b"xxxxxxx"
    assert str(aside) in said[1]


def test_damage_that_changed_no_time_of_a_file_is_found_after_the_next_boot(tmp_path: Path) -> None:
    folder = _put(tmp_path, "key")
    blob = (folder / "model.safetensors").resolve()
    before = blob.stat()
    blob.write_bytes(b"wEights")
    os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert CheckpointStore(tmp_path).ready("key"), "this is what is cheap about it"
    rebooted = CheckpointStore(tmp_path, boot="another")
    assert not rebooted.ready("key")
    rebooted.ensure("key", _making(_FILES), _silent)
    assert blob.read_bytes() == b"weights"


def test_after_a_boot_a_whole_checkpoint_is_hashed_and_kept(tmp_path: Path) -> None:
    _put(tmp_path, "key")
    rebooted = CheckpointStore(tmp_path, boot="another")
    rebooted.ensure("key", _never, _silent)
    assert rebooted.ready("key")


def test_a_missing_file_is_named_and_made_again(tmp_path: Path) -> None:
    folder = _put(tmp_path, "key")
    (folder / "model.safetensors").resolve().unlink()
    said: list[str] = []
    CheckpointStore(tmp_path).ensure("key", _making(_FILES), said.append)
    assert said == ["key/model.safetensors is missing; making it again"]
    assert (folder / "model.safetensors").read_bytes() == b"weights"


@pytest.mark.parametrize(
    "manifest",
    ["", "{", "[]", '{"files": {"a": {"sha256": "../../etc", "size_bytes": 1}}}', "\0\xff"],
)
def test_a_checkpoint_with_an_unreadable_manifest_is_made_again(
    tmp_path: Path, manifest: str
) -> None:
    folder = _put(tmp_path, "key")
    (folder / ".turntable-manifest.json").write_text(manifest)
    said: list[str] = []
    CheckpointStore(tmp_path).ensure("key", _making(_FILES), said.append)
    assert said == ["key is not as its manifest says; making it again"]
    CheckpointStore(tmp_path).ensure("key", _never, _silent)


def test_a_file_put_in_place_of_a_link_is_not_taken_for_the_checkpoints(tmp_path: Path) -> None:
    folder = _put(tmp_path, "key")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").write_bytes(b"other weights")
    CheckpointStore(tmp_path).ensure("key", _making(_FILES), _silent)
    assert (folder / "model.safetensors").read_bytes() == b"weights"


def test_damage_to_a_shared_file_is_mended_for_every_checkpoint(tmp_path: Path) -> None:
    one, two = _put(tmp_path, "one"), _put(tmp_path, "two")
    _damage(one / "model.safetensors")
    _put(tmp_path, "one")
    CheckpointStore(tmp_path).ensure("two", _never, _silent)
    assert (two / "model.safetensors").read_bytes() == b"weights"


# The budget


def test_the_least_recently_used_checkpoint_makes_room(tmp_path: Path) -> None:
    _put(tmp_path, "a", {"w": b"a" * 40})
    _put(tmp_path, "b", {"w": b"b" * 40})
    os.utime(tmp_path / ".store" / "leases" / "a", (2, 2))
    os.utime(tmp_path / ".store" / "leases" / "b", (1, 1))
    _put(tmp_path, "c", {"w": b"c" * 40}, budget_bytes=100)
    assert _keys(tmp_path) == {"a", "c"}
    assert _blobs(tmp_path) == {b"a" * 40, b"c" * 40}


def test_use_makes_a_checkpoint_recent(tmp_path: Path) -> None:
    for key in ("a", "b"):
        _put(tmp_path, key, {"w": key.encode() * 40})
        os.utime(tmp_path / ".store" / "leases" / key, (1, 1))
    CheckpointStore(tmp_path).lease("a").release()
    _put(tmp_path, "c", {"w": b"c" * 40}, budget_bytes=100)
    assert _keys(tmp_path) == {"a", "c"}


def test_what_cannot_fit_is_refused_with_sizes_and_leaves_everything(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    _put(tmp_path, "held", {"w": b"h" * 40})
    _put(tmp_path, "free", {"w": b"f" * 40})
    with store.lease("held"), pytest.raises(WeightsError, match=r"in use \(held\)") as caught:
        _put(tmp_path, "big", {"w": b"b" * 70}, budget_bytes=100)
    assert "budget_gib" in caught.value.fix
    assert _keys(tmp_path) == {"held", "free"}
    assert _blobs(tmp_path) == {b"h" * 40, b"f" * 40}
    assert _left_half_made(tmp_path) == []


def test_what_a_removed_checkpoint_shared_stays(tmp_path: Path) -> None:
    _put(tmp_path, "old", {"w": b"o" * 40, "t": b"t" * 10})
    store = CheckpointStore(tmp_path)
    _put(tmp_path, "held", {"w": b"h" * 40, "t": b"t" * 10})
    with store.lease("held"):
        _put(tmp_path, "new", {"w": b"n" * 40}, budget_bytes=100)
        assert _keys(tmp_path) == {"held", "new"}
        store.ensure("held", _never, _silent)


# Other processes


def _started(target: Callable[..., None], *arguments: object) -> BaseProcess:
    process = _FORK.Process(target=target, args=arguments)
    process.start()
    return process


def _kill(process: BaseProcess) -> None:
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


def _hold_for_ever(root: Path, key: str, holding) -> None:  # type: ignore[no-untyped-def]
    lease = CheckpointStore(root).lease(key)
    holding.set()
    signal.pause()
    lease.release()


def test_another_process_keeps_a_checkpoint_until_it_dies(tmp_path: Path) -> None:
    _put(tmp_path, "held", {"w": b"h" * 60})
    holding = _FORK.Event()
    holder = _started(_hold_for_ever, tmp_path, "held", holding)
    assert holding.wait(120)
    with pytest.raises(WeightsError, match="held"):
        _put(tmp_path, "new", {"w": b"n" * 60}, budget_bytes=100)
    _kill(holder)
    _put(tmp_path, "new", {"w": b"n" * 60}, budget_bytes=100)
    assert _keys(tmp_path) == {"new"}


def _make_and_count(root: Path, key: str, barrier, made, said) -> None:  # type: ignore[no-untyped-def]
    def make(folder: Path) -> None:
        made.put(key)
        _making(_FILES)(folder)

    barrier.wait()
    store = CheckpointStore(root)
    with store.lease(key):
        store.ensure(key, make, said.put)


def test_processes_at_once_make_a_checkpoint_once(tmp_path: Path) -> None:
    barrier, made, said = _FORK.Barrier(4), _FORK.Queue(), _FORK.Queue()
    workers = [_started(_make_and_count, tmp_path, "key", barrier, made, said) for _ in range(4)]
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    assert made.get(timeout=120) == "key"
    assert made.empty()
    CheckpointStore(tmp_path).ensure("key", _never, _silent)


def _make_and_check(root: Path, key: str, barrier) -> None:  # type: ignore[no-untyped-def]
    barrier.wait()
    store = CheckpointStore(root)
    files = {"w": key.encode() * 30, "shared": b"s" * 10}
    for _ in range(10):
        with store.lease(key) as lease:
            store.ensure(key, _making(files), _silent, budget_bytes=100)
            assert {name: (lease.path / name).read_bytes() for name in files} == files


def test_processes_that_push_each_other_out_never_lose_what_they_hold(tmp_path: Path) -> None:
    """Two of three checkpoints fit; each worker leases its own while it reads it."""
    barrier = _FORK.Barrier(2)
    _put(tmp_path, "c", {"w": b"c" * 30, "shared": b"s" * 10})
    workers = [_started(_make_and_check, tmp_path, key, barrier) for key in ("a", "b")]
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0


def _stop_in_the_making(root: Path, key: str, half_made) -> None:  # type: ignore[no-untyped-def]
    def make(folder: Path) -> None:
        (folder / "config.json").write_bytes(b"half")
        half_made.set()
        signal.pause()

    store = CheckpointStore(root)
    with store.lease(key):
        store.ensure(key, make, _silent)


@pytest.mark.parametrize("next_key", ["key", "another"])
def test_what_a_killed_process_left_is_removed_and_not_used(tmp_path: Path, next_key: str) -> None:
    half_made = _FORK.Event()
    maker = _started(_stop_in_the_making, tmp_path, "key", half_made)
    assert half_made.wait(120)
    _kill(maker)
    assert not CheckpointStore(tmp_path).ready("key")
    folder = _put(tmp_path, next_key)
    assert (folder / "config.json").read_bytes() == b"{}"
    assert _left_half_made(tmp_path) == []


def test_another_checkpoint_can_be_made_while_one_is_in_the_making(tmp_path: Path) -> None:
    half_made = _FORK.Event()
    maker = _started(_stop_in_the_making, tmp_path, "slow", half_made)
    assert half_made.wait(120)
    _put(tmp_path, "quick")
    (partial,) = _left_half_made(tmp_path)
    assert (partial / "config.json").read_bytes() == b"half"
    _kill(maker)


# Failures


def test_nothing_is_there_when_making_fails(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        _making(_FILES)(folder)
        raise WeightsError("no", where="here", fix="none")

    with pytest.raises(WeightsError, match="no"):
        CheckpointStore(tmp_path).ensure("key", fail, _silent)
    assert _keys(tmp_path) == set()
    assert _left_half_made(tmp_path) == []


def _write_to_a_full_device(folder: Path) -> None:
    _making(_FILES)(folder)
    with Path("/dev/full").open("wb", buffering=0) as full:
        full.write(b"weights")


def test_a_full_disk_is_said_clearly_and_leaves_nothing(tmp_path: Path) -> None:
    _put(tmp_path, "there", {"w": b"w"})
    with pytest.raises(WeightsError, match="the disk is full") as caught:
        CheckpointStore(tmp_path).ensure("key", _write_to_a_full_device, _silent)
    assert str(tmp_path) in caught.value.where
    assert _keys(tmp_path) == {"there"}
    assert _blobs(tmp_path) == {b"w"}
    assert _left_half_made(tmp_path) == []


def test_a_full_disk_during_the_commit_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    _put(tmp_path, "there", {"w": b"w"})
    monkeypatch.setattr("serving.weights.store.write_manifest", full)
    with pytest.raises(WeightsError, match="the disk is full"):
        CheckpointStore(tmp_path).ensure("key", _making(_FILES), _silent)
    assert _keys(tmp_path) == {"there"}
    assert _blobs(tmp_path) == {b"w"}
    assert _left_half_made(tmp_path) == []


def test_a_store_that_cannot_be_written_is_a_weights_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WeightsError, match="store failed"):
        CheckpointStore(tmp_path / "file")

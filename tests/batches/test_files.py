"""The file store: whole files or none, and nothing left behind."""

from pathlib import Path

import pytest

from serving.batches import FileInUse, NoSuchRecord, result_file_id
from tests.batches.samples import NOW, batch_record, put, store_in


def test_a_kept_draft_is_a_file_with_a_record(tmp_path: Path) -> None:
    catalog, store = store_in(tmp_path)

    record = put(store, b"one\ntwo\n", filename="mine.jsonl", expires_after_s=60)

    assert store.path(record.id).read_bytes() == b"one\ntwo\n"
    assert (record.bytes, record.filename, record.expires_at) == (8, "mine.jsonl", NOW + 60)
    assert catalog.file(record.id) == record


def test_a_draft_that_is_not_kept_leaves_nothing(tmp_path: Path) -> None:
    catalog, store = store_in(tmp_path)

    with store.draft() as draft:
        draft.write(b"half a fi")

    assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []
    assert catalog.files().records == ()


def test_a_result_written_again_replaces_the_first(tmp_path: Path) -> None:
    catalog, store = store_in(tmp_path)
    name = result_file_id("batch_1", "output")

    for content in (b"first", b"second, longer"):
        put(store, content, purpose="batch_output", file_id=name, batch_id="batch_1")

    assert store.path(name).read_bytes() == b"second, longer"
    assert [(r.id, r.bytes) for r in catalog.files().records] == [(name, 14)]


def test_a_removed_file_is_gone(tmp_path: Path) -> None:
    _, store = store_in(tmp_path)
    record = put(store, b"x")

    store.remove(record.id)

    assert not store.path(record.id).exists()
    with pytest.raises(NoSuchRecord):
        store.remove(record.id)


def test_an_input_stays_while_its_batch_runs(tmp_path: Path) -> None:
    catalog, store = store_in(tmp_path)
    record = put(store, b"x")
    catalog.create_batch(batch_record(input_file_id=record.id))

    with pytest.raises(FileInUse):
        store.remove(record.id)

    assert store.path(record.id).exists()

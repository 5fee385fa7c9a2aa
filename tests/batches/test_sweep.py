"""The sweep: what has had its time goes whole, whenever a sweep was cut off."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from serving.batches import (
    BatchRecord,
    Catalog,
    Completed,
    FileRecord,
    Finalizing,
    NoSuchRecord,
    Sweep,
    Swept,
    Validated,
)
from serving.batches.files import LEFTOVER_AFTER_S
from tests.batches.samples import NOW, Clock, batch_record, put, store_in

RETENTION_S = 7 * 24 * 3600


@dataclass
class Place:
    """A catalog, its content, its work folders."""

    folder: Path
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.catalog, self.store = store_in(self.folder, self.clock)
        self.work = self.folder / "work"
        self.work.mkdir()
        self.sweep = Sweep(self.catalog, self.store, self.work, retention_s=RETENTION_S)

    def put(self, **fields: object) -> FileRecord:
        """A file; its content is as old as the clock says."""
        record = put(self.store, b"x\n", **fields)
        os.utime(self.store.path(record.id), (self.clock.now, self.clock.now))
        return record

    def begin(self, batch_id: str = "batch_1", **fields: object) -> BatchRecord:
        """A batch that runs: with an input and a work folder."""
        fields = {"input_file_id": self.put().id, "created_at": int(self.clock.now), **fields}
        self.catalog.create_batch(batch_record(batch_id, **fields))
        work = self.work / batch_id
        work.mkdir()
        (work / "lines").write_bytes(b"index")
        (work / "0.jsonl").write_bytes(b"{}\n")
        return self.catalog.apply(batch_id, Validated("small", 1))

    def end(self, batch_id: str = "batch_1") -> FileRecord:
        """Its end; the file it wrote."""
        self.catalog.apply(batch_id, Finalizing())
        output = self.put(purpose="batch_output", batch_id=batch_id)
        self.catalog.apply(batch_id, Completed(output.id, None))
        return output

    def left(self) -> set[str]:
        """Every file in the folders, but those of the catalog."""
        folders = (self.folder / "files", self.work)
        return {path.name for folder in folders for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_file_whose_time_is_over_is_gone_at_once_and_swept_later(place: Place) -> None:
    short, long = place.put(expires_after_s=60), place.put()
    place.clock.now += 61

    with pytest.raises(NoSuchRecord):
        place.catalog.file(short.id)
    assert [record.id for record in place.catalog.files().records] == [long.id]
    assert place.sweep.run() == Swept(batches=0, files=1, leftovers=0)
    assert place.left() == {long.id}


def test_an_input_whose_time_is_over_stays_until_its_batch_has_ended(place: Place) -> None:
    upload = place.put(expires_after_s=60)
    place.begin(input_file_id=upload.id)
    place.clock.now += 61 + LEFTOVER_AFTER_S

    assert place.sweep.run() == Swept(batches=0, files=0, leftovers=0)
    assert place.store.path(upload.id).exists()
    place.end()
    assert place.sweep.run().files == 1
    assert not place.store.path(upload.id).exists()


def test_a_batch_goes_with_all_it_had_when_it_ended_so_long_ago(place: Place) -> None:
    record = place.begin()
    place.end()
    place.clock.now += RETENTION_S - 1
    assert place.sweep.run() == Swept(batches=0, files=0, leftovers=0)
    place.clock.now += 1

    assert place.sweep.run() == Swept(batches=1, files=1, leftovers=1)

    with pytest.raises(NoSuchRecord):
        place.catalog.batch(record.id)
    assert place.catalog.batch_ids() == set()
    assert place.left() == {record.input_file_id}


def test_an_open_batch_stays_however_old_it_is(place: Place) -> None:
    place.begin()
    before = place.left()
    place.clock.now += 100 * RETENTION_S

    assert place.sweep.run() == Swept(batches=0, files=0, leftovers=0)

    assert place.catalog.batch_ids() == {"batch_1"}
    assert place.left() == before


def test_a_younger_batch_stays_when_an_older_one_goes(place: Place) -> None:
    place.begin("batch_old")
    place.end("batch_old")
    place.clock.now += RETENTION_S - 10
    place.begin("batch_new")
    place.end("batch_new")
    place.clock.now += 10

    place.sweep.run()

    assert place.catalog.batch_ids() == {"batch_new"}
    assert (place.work / "batch_new").exists()


def test_an_output_that_asked_for_a_longer_time_outlives_its_batch(place: Place) -> None:
    place.begin()
    place.catalog.apply("batch_1", Finalizing())
    output = place.put(
        purpose="batch_output", batch_id="batch_1", expires_after_s=RETENTION_S + 100
    )
    place.catalog.apply("batch_1", Completed(output.id, None))
    place.clock.now += RETENTION_S

    assert place.sweep.run().batches == 1
    assert place.catalog.file(output.id) == output
    place.clock.now += 100
    assert place.sweep.run().files == 1


def test_the_idempotency_key_of_a_batch_that_went_makes_a_new_one(place: Place) -> None:
    first = place.begin("batch_1", idempotency_key="k")
    place.end()
    again = batch_record("batch_2", idempotency_key="k", input_file_id=first.input_file_id)
    assert place.catalog.create_batch(again).id == "batch_1"

    place.clock.now += RETENTION_S
    place.sweep.run()

    assert place.catalog.create_batch(again).id == "batch_2"


class Killed(BaseException):
    """The process ends here."""


def die(*_given: object) -> None:
    raise Killed


@pytest.mark.parametrize("step", ["drop", "drop_leftovers"])
def test_a_sweep_that_was_killed_leaves_nothing_after_the_next(
    place: Place, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = place.begin()
    place.end()
    place.clock.now += RETENTION_S
    with monkeypatch.context() as patch:
        patch.setattr(place.store, step, die)
        with pytest.raises(Killed):
            place.sweep.run()

    place.sweep.run()

    assert place.catalog.batch_ids() == set()
    assert place.left() == {record.input_file_id}


def test_a_work_folder_that_went_half_goes_whole_next_time(place: Place) -> None:
    record = place.begin()
    place.end()
    place.clock.now += RETENTION_S
    place.catalog.forget_due(RETENTION_S)
    (place.work / record.id / "lines").unlink()

    place.sweep.run()

    assert not (place.work / record.id).exists()


def test_what_a_crash_left_is_swept_once_it_is_old(place: Place) -> None:
    draft, orphan = place.folder / "files" / "drafts" / "d", place.folder / "files" / "file-orphan"
    kept = place.put()
    for path in (draft, orphan):
        path.touch()
        os.utime(path, (NOW, NOW))

    assert place.sweep.run().leftovers == 0
    assert place.left() == {"d", "file-orphan", kept.id}
    place.clock.now += LEFTOVER_AFTER_S + 1
    assert place.sweep.run().leftovers == 2

    assert place.left() == {kept.id}


def test_two_sweeps_may_meet(place: Place) -> None:
    place.begin()
    place.end()
    place.clock.now += RETENTION_S
    catalog = Catalog(place.folder / "catalog.sqlite", clock=place.clock)
    other = Sweep(catalog, place.store, place.work, retention_s=RETENTION_S)

    assert (place.sweep.run().batches, other.run().batches) == (1, 0)

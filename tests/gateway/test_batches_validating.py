"""Validation beside the gateway: what it takes up, what it says, and how it ends."""

import asyncio
import contextlib
import errno
import itertools
import threading
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from serving.batches import BatchError, BatchRecord, BodyCheck, CancelAsked, InputLines, InputSize
from serving.gateway.batches.validating import WORK_S, GivesWay, InputValidation, ValidationStopped
from serving.gateway.lines.work import Duration
from tests.batches.samples import ENDPOINT, batch_record, jsonl, line, put, store_in
from tests.fakes.host import wait_until

LIMIT_S = 90


class Scene:
    """A catalog, a file store, and a validation over both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.catalog, self.files = store_in(folder, clock=time.time)  # type: ignore[arg-type]
        self.expected = Duration(likely_s=1.0, least_s=0.0)
        self.look_every_s = float(LIMIT_S)
        self.sizes: list[InputSize] = []
        self.check: BodyCheck = lambda _body: None

    def batch(self, content: bytes, **fields: Any) -> BatchRecord:
        file = put(self.files, content)
        now = int(time.time())
        times = {"created_at": now, "expires_at": now + 3600}
        return self.catalog.create_batch(
            batch_record(f"batch_{file.id}", input_file_id=file.id, **{**times, **fields})
        )

    def work(self, batch_id: str) -> Path:
        folder = self.folder / batch_id
        folder.mkdir(exist_ok=True)
        return folder

    async def ended(self, record: BatchRecord) -> BatchRecord:
        await asyncio.to_thread(wait_until, lambda: self.catalog.batch(record.id) != record)
        return self.catalog.batch(record.id)

    @contextlib.asynccontextmanager
    async def validation(self) -> AsyncIterator[InputValidation]:
        async def body_check(_endpoint: str) -> BodyCheck:
            return self.check

        def expect(size: InputSize, _others: Sequence[BatchRecord]) -> Duration:
            self.sizes.append(size)
            return self.expected

        made = InputValidation(
            self.catalog,
            self.files,
            work=self.work,
            models=["small"],
            body_check=body_check,
            expect=expect,
            look_every_s=self.look_every_s,
        )
        task = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


async def test_what_an_earlier_gateway_left_is_taken_up(scene: Scene) -> None:
    left = scene.batch(jsonl(line("a"), line("b")))

    async with scene.validation():
        record = await scene.ended(left)

    assert (record.status, record.lines, record.model) == ("in_progress", 2, "small")


async def test_what_another_gateway_left_meanwhile_is_taken_up_too(scene: Scene) -> None:
    scene.look_every_s = 0.01

    async with scene.validation():
        left = scene.batch(jsonl(line("a")))
        record = await scene.ended(left)

    assert record.status == "in_progress"


async def test_what_was_left_is_taken_up_however_many_new_ones_come(scene: Scene) -> None:
    scene.look_every_s = 0.2

    async with scene.validation() as validation:
        new = scene.batch(jsonl(line("a")))
        validation.ask(new.id)
        await scene.ended(new)
        left = scene.batch(jsonl(line("a")))

        async def keep_asking() -> None:
            while True:
                validation.ask(new.id)
                await asyncio.sleep(0.005)

        asking = asyncio.create_task(keep_asking())
        record = await scene.ended(left)
        asking.cancel()

    assert record.status == "in_progress"


async def test_a_good_input_has_an_index_of_its_lines(scene: Scene) -> None:
    async with scene.validation() as validation:
        made = scene.batch(jsonl(line("a"), line("b")))
        validation.ask(made.id)
        await scene.ended(made)

    index = scene.work(made.id) / "lines"
    with InputLines(scene.files.path(made.input_file_id), index) as lines:
        assert [got.custom_id for _, got in lines.read()] == ["a", "b"]


async def test_a_batch_cancelled_before_its_validation_is_still_validated(scene: Scene) -> None:
    made = scene.batch(jsonl(line("a")))
    cancelling = scene.catalog.apply(made.id, CancelAsked())

    async with scene.validation():
        record = await scene.ended(cancelling)

    assert (record.status, record.lines) == ("cancelling", 1)


async def test_a_batch_that_may_fit_its_window_is_told_how_long_it_will_take(scene: Scene) -> None:
    scene.expected = Duration(likely_s=7200.0, least_s=120.0)
    made = scene.batch(jsonl(line("a"), line("b")))

    async with scene.validation():
        record = await scene.ended(made)

    assert (record.status, record.expected_s) == ("in_progress", 7200.0)
    assert [(size.lines, size.max_output_tokens) for size in scene.sizes] == [(2, 10)]


async def test_a_batch_that_cannot_finish_in_its_window_is_told(scene: Scene) -> None:
    scene.expected = Duration(likely_s=9999.0, least_s=7200.0)
    made = scene.batch(jsonl(line("a")), completion_window="1h")

    async with scene.validation():
        record = await scene.ended(made)

    assert record.status == "failed"
    assert [error.code for error in record.errors] == ["window_too_short"]
    assert "7200 s" in record.errors[0].message


async def test_an_input_that_cannot_be_read_fails_its_batch_and_no_other(scene: Scene) -> None:
    lost, good = scene.batch(jsonl(line("a"))), scene.batch(jsonl(line("a")))
    scene.files.path(lost.input_file_id).unlink()

    async with scene.validation():
        first, second = await scene.ended(lost), await scene.ended(good)

    assert [error.code for error in first.errors] == ["validation_failed"]
    assert second.status == "in_progress"


async def test_a_full_disk_fails_no_batch(scene: Scene) -> None:
    made, work = scene.batch(jsonl(line("a"))), scene.work
    full = [OSError(errno.ENOSPC, "no space left on device")]

    def work_or_full(batch_id: str) -> Path:
        if full:
            raise full.pop()
        return work(batch_id)

    scene.work = work_or_full  # type: ignore[method-assign]
    scene.look_every_s = 0.05

    async with scene.validation():
        record = await scene.ended(made)

    assert (record.status, full) == ("in_progress", [])


async def test_a_check_that_breaks_fails_the_batch_and_goes_on_with_others(scene: Scene) -> None:
    def check(body: bytes) -> BatchError | None:
        if b"break" in body:
            raise RuntimeError("a fault of the check")
        return None

    scene.check = check
    bad = scene.batch(jsonl(line("a", body={"model": "small", "x": "break"})))
    good = scene.batch(jsonl(line("a")))

    async with scene.validation():
        assert (await scene.ended(bad)).status == "failed"
        assert (await scene.ended(good)).status == "in_progress"


async def test_a_gateway_that_ends_does_not_wait_for_validation(scene: Scene) -> None:
    begun = threading.Event()

    def check(_body: bytes) -> BatchError | None:
        begun.set()
        time.sleep(0.01)
        return None

    scene.check = check
    made = scene.batch(jsonl(*(line(str(number)) for number in range(30_000))))

    async with asyncio.timeout(LIMIT_S), scene.validation():
        await asyncio.to_thread(begun.wait, LIMIT_S)

    assert scene.catalog.batch(made.id) == made


def test_a_validating_thread_pauses_whenever_it_has_worked_for_a_millisecond() -> None:
    now, pauses = [0.0], []

    def pause(seconds: float) -> None:
        pauses.append(now[0])
        now[0] += seconds

    give_way = GivesWay(threading.Event(), clock=lambda: now[0], pause=pause)
    for _ in range(50):
        now[0] += WORK_S / 4
        give_way()

    worked = [after - before for before, after in itertools.pairwise([0.0, *pauses])]
    assert len(pauses) in {12, 13}
    assert max(worked) <= 1.5 * WORK_S


async def test_a_batch_whose_window_has_ended_is_validated_so_that_it_can_expire(
    scene: Scene,
) -> None:
    late = scene.batch(jsonl(line("a")), expires_at=1)

    async with scene.validation():
        record = await scene.ended(late)

    assert (record.status, record.lines) == ("in_progress", 1)


def test_giving_way_ends_once_it_is_told_to() -> None:
    stopped = threading.Event()
    give_way = GivesWay(stopped)
    give_way()

    stopped.set()

    with pytest.raises(ValidationStopped):
        give_way()


async def test_a_batch_validated_twice_is_validated_once(scene: Scene) -> None:
    made = scene.batch(jsonl(line("a")))

    async with scene.validation() as one, scene.validation() as other:
        one.ask(made.id)
        other.ask(made.id)
        record = await scene.ended(made)

    assert (record.status, record.endpoint) == ("in_progress", ENDPOINT)

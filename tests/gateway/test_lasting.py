"""Tasks that last: begun again when they die, and who asks is told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from serving.lasting import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    STEADY_S,
    Failing,
    LastingTasks,
    Work,
)


class Scene:
    """Works that die, and pauses that end, when the test says so; a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.begun: list[str] = []
        self._ends: dict[str, asyncio.Future[None]] = {}
        self._pause_over = asyncio.Event()
        self.tasks = LastingTasks(clock=lambda: self.now, pause=self._pause)

    @asynccontextmanager
    async def running(self, *names: str) -> AsyncIterator[None]:
        async with self.tasks.running({name: self._work(name) for name in names}):
            await self.until(lambda: len(self.begun) == len(names))
            yield

    def _work(self, name: str) -> Work:
        async def work() -> None:
            self.begun.append(name)
            self._ends[name] = asyncio.get_running_loop().create_future()
            await self._ends[name]

        return work

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self._pause_over.clear()
        await self._pause_over.wait()

    async def dies(self, name: str, error: BaseException | None = None) -> None:
        """It dies, and pauses now."""
        pauses = len(self.pauses)
        if error is None:
            self._ends[name].set_result(None)
        else:
            self._ends[name].set_exception(error)
        await self.until(lambda: len(self.pauses) > pauses)

    async def begins_again(self) -> None:
        begun = len(self.begun)
        self._pause_over.set()
        await self.until(lambda: len(self.begun) > begun)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(120):
            while not condition():  # noqa: ASYNC110 - conditions of plain objects have no event
                await asyncio.sleep(0)


async def test_a_task_that_dies_is_begun_again_and_the_others_go_on() -> None:
    scene = Scene()
    async with scene.running("census", "watch"):
        await scene.dies("census", ValueError("a fault"))
        assert scene.tasks.failing() == [Failing("census", "ValueError: a fault", 1)]
        await scene.begins_again()

        assert scene.begun == ["census", "watch", "census"]


@pytest.mark.parametrize("end", [None, asyncio.CancelledError()], ids=["ends", "is cancelled"])
async def test_a_task_that_ends_in_whatever_way_is_begun_again(end: BaseException | None) -> None:
    scene = Scene()
    async with scene.running("census"):
        await scene.dies("census", end)
        await scene.begins_again()

        assert scene.tasks.failing()[0].why


async def test_it_counts_as_failing_until_it_has_run_for_a_while() -> None:
    scene = Scene()
    async with scene.running("census"):
        assert scene.tasks.failing() == []
        await scene.dies("census", ValueError())
        await scene.begins_again()
        scene.now += STEADY_S - 1
        assert [each.task for each in scene.tasks.failing()] == ["census"]
        scene.now += 1
        assert scene.tasks.failing() == []


async def test_the_pauses_get_longer_up_to_a_bound_until_it_has_run_for_a_while() -> None:
    scene = Scene()
    async with scene.running("census"):
        for _ in range(8):
            await scene.dies("census", ValueError())
            await scene.begins_again()
        assert scene.pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
        assert scene.pauses[-1] == LONGEST_PAUSE_S
        scene.now += STEADY_S
        await scene.dies("census", ValueError())

        assert scene.pauses[-1] == FIRST_PAUSE_S


async def test_with_the_block_they_end_for_good() -> None:
    scene = Scene()
    async with scene.running("census", "watch"):
        await scene.dies("watch", ValueError())

    assert scene.begun == ["census", "watch"]
    assert asyncio.all_tasks() == {asyncio.current_task()}

"""Tasks that last as long as their process serves: begun again after a pause when they die.

For what looks, measures, tells and tidies. Who owns state that others rely on does not belong here:
it may have died in the middle of a change, so its process ends with it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import structlog

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0
"""One that has lived for so long since it died is well again."""

Work = Callable[[], Coroutine[Any, Any, None]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Failing:
    """A task that has died lately."""

    task: str
    why: str
    """What it died of last."""
    deaths: int
    """Since the process began."""


@dataclass
class _Life:
    """What is known of one task."""

    begun_at: float
    deaths: int = 0
    in_a_row: int = 0
    why: str = ""
    pauses: bool = False

    def died(self, why: str, now: float) -> float:
        """After how long to begin it again."""
        self.in_a_row = 1 if self.steady(now) else self.in_a_row + 1
        self.deaths, self.why, self.pauses = self.deaths + 1, why, True
        return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (self.in_a_row - 1)))

    def steady(self, now: float) -> bool:
        return not self.pauses and now - self.begun_at >= STEADY_S


class LastingTasks:
    """The lasting tasks of one process; who asks is told which of them fail."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock, self._pause = clock, pause
        self._lives: dict[str, _Life] = {}

    @asynccontextmanager
    async def running(self, works: Mapping[str, Work]) -> AsyncIterator[None]:
        """Has every one of `works`, by its name, run for as long as the block lasts."""
        tasks = [asyncio.create_task(self._keep(*each), name=each[0]) for each in works.items()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def failing(self) -> list[Failing]:
        """Those that are not running, or have not run for long since they died."""
        now = self._clock()
        return [
            Failing(name, life.why, life.deaths)
            for name, life in self._lives.items()
            if life.deaths and not life.steady(now)
        ]

    def told(self) -> list[dict[str, Any]]:
        """The failing ones, for JSON."""
        return [asdict(each) for each in self.failing()]

    async def _keep(self, name: str, work: Work) -> None:
        life = self._lives[name] = _Life(self._clock())
        while True:
            error = await _death(work)
            why = f"{type(error).__name__}: {error}" if error is not None else "it just ended"
            pause_s = life.died(why, self._clock())
            log.critical("task_died", task=name, why=why, again_in_s=pause_s, exc_info=error)
            await self._pause(pause_s)
            life.begun_at, life.pauses = self._clock(), False


async def _death(work: Work) -> BaseException | None:
    """Do the work: what it died of, None if it ended. A cancellation from outside is passed on."""
    try:
        await work()
    except asyncio.CancelledError as cancelled:
        if asyncio.current_task().cancelling():  # type: ignore[union-attr]
            raise
        return cancelled
    except Exception as error:
        return error
    return None

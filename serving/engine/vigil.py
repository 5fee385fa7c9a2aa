"""Keeps watch over a host's engines: asks them for a pulse, and ends by force those that hang.

An engine that was ended is lost like one that died, and goes that way. Whom to ask, and who hangs,
is decided in `serving.engine.decisions.silence`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

from serving.engine.decisions.silence import (
    TICK_S,
    AskForPulse,
    Command,
    Hung,
    Patience,
    Silence,
)
from serving.engine.protocol import Engine, EngineFailed

log = structlog.get_logger(__name__)


class Vigil:
    """The watch over the engines of one host. `on_hung` is told of each that is ended."""

    def __init__(self, patience: Patience, on_hung: Callable[[Hung], None]) -> None:
        self._silence = Silence(patience)
        self._on_hung = on_hung
        self._engines: dict[str, Engine] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._broken: BaseException | None = None
        """What a pulse or an end by force died of that should not."""

    async def keep(self) -> None:
        """Watch, for as long as the host lives. Raises what broke the asking or the ending."""
        while True:
            await asyncio.sleep(TICK_S)
            if self._broken is not None:
                broken, self._broken = self._broken, None
                raise broken
            self.tick()

    def tick(self) -> None:
        """A tick has passed."""
        for due in self._silence.tick():
            engine = self._engines[due.model]
            match due:
                case AskForPulse(model):
                    self._spawn(self._ask(model, engine))
                case Hung():
                    self._end(engine, due)

    @asynccontextmanager
    async def over(self, command: Command, model: str, engine: Engine) -> AsyncIterator[None]:
        """Inside, the engine carries out `command`; ended by force, that fails.

        One that hangs already is not told: it would be given all the time of a command.
        """
        if command != "start":
            await engine.pulse()
        self._engines[model] = engine
        self._silence.began(model, command)
        try:
            yield
        finally:
            if self._engines.get(model) is engine:
                self._silence.ended(model)

    def gone(self, model: str) -> None:
        """The engine of `model` has no process any more, or is being stopped."""
        self._silence.gone(model)
        self._engines.pop(model, None)

    async def _ask(self, model: str, engine: Engine) -> None:
        try:
            await engine.pulse()
        except EngineFailed:
            return  # it has ended, which the watch over its process reports
        if self._engines.get(model) is engine:
            self._silence.answered(model)

    def _end(self, engine: Engine, hung: Hung) -> None:
        log.error(
            "engine hangs, its process is killed",
            model=hung.model,
            was_to=hung.doing,
            limit_s=hung.limit_s,
            fix="It is started again. If it was busy, give it more time in the fleet file; "
            "else see its log and the accelerator's.",
        )
        self._on_hung(hung)
        self._spawn(engine.kill(hung.why))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            self._broken = task.exception() or self._broken

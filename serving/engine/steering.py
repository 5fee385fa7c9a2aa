"""Tells engines what their schedulers are held to: one message an engine at a time, latest wins."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from serving.engine.protocol import Steering

log = structlog.get_logger(__name__)


class SteeringLine:
    """Passes steering on to the engines of one host.

    A steering replaces the last one whole: of those that come while one is on its way only the
    latest is sent.
    """

    def __init__(self, steer: Callable[[str, Steering], Awaitable[None]]) -> None:
        self._steer = steer
        self._latest: dict[str, Steering] = {}
        self._sending: dict[str, asyncio.Task[None]] = {}

    def send(self, model: str, steering: Steering) -> None:
        """Have the engine of `model` held to `steering`, as soon as it has taken the one before."""
        self._latest[model] = steering
        if model not in self._sending:
            self._sending[model] = asyncio.create_task(self._send_all(model))

    async def _send_all(self, model: str) -> None:
        try:
            while (steering := self._latest.pop(model, None)) is not None:
                await self._steer(model, steering)
        except Exception:
            # An engine that does not take it is dead or dying, which its watch reports.
            log.exception("steering failed", model=model)
        finally:
            del self._sending[model]

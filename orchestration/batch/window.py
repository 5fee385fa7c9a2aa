"""How many requests a run keeps open: what the engines can take, and a little more.

A slot that comes free is refilled from what waits on its host, so there is always a quarter more
than slots. Beyond that one replica's worth waits where there may be another replica: waiting work
is what the planner sees, and gives a host to.
"""

import asyncio
import math
from collections import deque

from serving.config import ModelSettings

SPARE = 0.25


def places(offered: int, model: ModelSettings) -> int:
    """Open requests of `model` while its replicas offer so many slots to batch work."""
    most = math.ceil(model.slots * max(1, model.max_replicas) * (1 + SPARE))
    return min(most, offered + max(model.slots, math.ceil(offered * SPARE)))


class Window:
    """Places for open requests; as many as it was last told. First come, first served."""

    def __init__(self, size: int) -> None:
        self._size, self._open = size, 0
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def size(self) -> int:
        """How many may be open."""
        return self._size

    @property
    def open(self) -> int:
        """How many are."""
        return self._open

    def resize(self, size: int) -> None:
        """Have so many places from now on; what is open beyond them goes on."""
        self._size = max(1, size)
        self._admit()

    async def enter(self) -> None:
        """Take a place when there is one."""
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give a place back."""
        self._open -= 1
        self._admit()

    def _admit(self) -> None:
        while self._queue and self._open < self._size:
            turn = self._queue.popleft()
            if not turn.done():
                self._open += 1
                turn.set_result(None)

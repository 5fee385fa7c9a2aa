"""How many requests a run keeps open: what the engines can take, and a little more.

A slot that comes free is refilled from what waits on its host, so there is always a quarter more
than slots. Beyond that one replica's worth waits where there may be another replica: waiting work
is what the planner sees, and gives a host to.

Runs of one model share that: each has the places that it needs to be in time, as far as all needs
together fit into most of the window, and an even part of the rest. One that has not so many rows
left leaves the rest to the others: all slots stay busy, the gateway holds no more for eight runs
than for one, and a row waits no longer behind the rows of others than there are.
"""

import asyncio
import math
from collections import deque

from serving.config import ModelSettings

SPARE = 0.25
URGENT_SHARE = 0.75
"""Of the window, for what works need to be in time; so none stands still for the sake of others."""


def places(offered: int, model: ModelSettings) -> int:
    """Open requests of `model` while its replicas offer so many slots to batch work."""
    most = math.ceil(model.slots * max(1, model.max_replicas) * (1 + SPARE))
    return min(most, offered + max(model.slots, math.ceil(offered * SPARE)))


def entitled(total: int, *, works: int, needs: float = 0.0, all_needs: float = 0.0) -> float:
    """A run's part of `total` places, when it needs `needs` of them to be in time.

    `all_needs`: of all `works`, this one's included. Where they do not fit, each gets less by the
    same factor.
    """
    promised = min(all_needs, URGENT_SHARE * total)
    mine = promised * needs / all_needs if all_needs else 0.0
    return mine + (total - promised) / max(1, works)


def share(total: int, entitled: float, *, open_: int, in_flight: int, works: int) -> int:
    """How many places a run takes that has `open_` of the `in_flight` requests of `works`.

    What it is entitled to at least. Of what the others leave free each takes a part at every look,
    so that together they soon have all of it and never much more.
    """
    free = total - in_flight
    return min(total, max(math.ceil(entitled), open_ + math.ceil(free / max(1, works))))


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

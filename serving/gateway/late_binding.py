"""Late binding: interactive requests wait here, not on a host that has prompts enough before it.

An engine computes prompts in their order. What is sent to it cannot be taken by a host that wakes
a moment later, so a replica gets the next request only while it can answer it in time. Whose turn
it is then is decided by `serving.queueing`, which host is chosen by `placement`.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from serving.config import Fleet
from serving.gateway.placement import ReplicaLoad, pick_in_time
from serving.gateway.pool import Lease, Pool
from serving.gateway.queues import Place, Queues
from serving.queueing import Line
from serving.switching.timing import ASSUMED_WAKE_S, patience_s

LOOK_AGAIN_S = 5.0
"""Who has waited as long as one may without a replica, and has one, looks this often whether it
still has."""


@dataclass(eq=False)
class _Waiter:
    place: Place
    avoid: frozenset[str]
    since: float
    lease: "asyncio.Future[Lease]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def is_computed(self) -> bool:
        """Whether a host has it and its first token has not come."""
        return self.place.host is not None and not self.place.is_answered


class LateBinding:
    """Interactive requests without a first token, by model, until a replica can take them."""

    def __init__(
        self, fleet: Fleet, pool: Pool, queues: Queues, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pool, self._queues, self._clock = pool, queues, clock
        self._ttft_s = {model.name: model.service_levels.ttft_s for model in fleet.models}
        self._lines = {name: self._line(ttft_s) for name, ttft_s in self._ttft_s.items()}
        self._due = False
        queues.on_change(self._look_soon)
        pool.on_change(self._look_soon)

    def _line(self, ttft_s: float) -> Line[_Waiter]:
        return Line(
            due_at=lambda waiter: waiter.since + ttft_s,
            work_s=lambda waiter: self._queues.compute_s(waiter.place),
            computing=lambda waiter: waiter.is_computed,
        )

    async def lease(self, place: Place, *, avoid: frozenset[str], until: float) -> Lease:
        """A place on a replica when it is its turn.

        Raises TimeoutError when `until` (monotonic) is past and there is no replica.
        """
        waiter = _Waiter(place, avoid, self._clock())
        self._lines[place.model].add(waiter)
        self._look(place.model)
        taken = False
        try:
            lease = await self._turn(waiter, until)
            taken = True
            return lease
        finally:
            self._leave(waiter, taken=taken)

    async def _turn(self, waiter: _Waiter, until: float) -> Lease:
        while True:
            try:
                async with asyncio.timeout(until - self._clock()):
                    return await asyncio.shield(waiter.lease)
            except TimeoutError:
                if not self._pool.replicas(waiter.place.model):
                    raise
                until = self._clock() + LOOK_AGAIN_S

    def _leave(self, waiter: _Waiter, *, taken: bool) -> None:
        """It waits no more; what it was given meanwhile and did not take is free again."""
        if not waiter.lease.done():
            self._lines[waiter.place.model].remove(waiter)
        elif not taken:
            waiter.lease.result().close()

    def _look_soon(self) -> None:
        """Once for all that happens in one turn of the loop."""
        if not self._due and any(map(len, self._lines.values())):
            self._due = True
            asyncio.get_running_loop().call_soon(self._look_at_all)

    def _look_at_all(self) -> None:
        self._due = False
        for model, line in self._lines.items():
            if len(line):
                self._look(model)

    def _look(self, model: str) -> None:
        """Give replicas to those whose turn it is, while there is one in time."""
        line, loads = self._lines[model], self._pool.loads(model)
        if all(self._is_piled(model, load) for load in loads):
            return
        line.arrange(self._clock(), [self._queues.prompt_work_s(load.host) for load in loads])
        while (waiter := line.first()) is not None:
            loads = self._pool.loads(model)
            piled = frozenset(load.host for load in loads if self._is_piled(model, load))
            name = pick_in_time(loads, avoid=waiter.avoid, piled=piled)
            if name is None:
                return
            line.take().place.taken(name)
            waiter.lease.set_result(self._pool.lease(self._pool.settings(name), "interactive"))

    def _is_piled(self, model: str, load: ReplicaLoad) -> bool:
        """Whether the prompts before it are more than it answers in time."""
        wake_s = load.wake_s if load.wake_s is not None else ASSUMED_WAKE_S
        return self._queues.prompt_work_s(load.host) > patience_s(self._ttft_s[model], wake_s)

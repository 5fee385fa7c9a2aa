"""Late binding: interactive requests wait here, not on a host that has prompts enough before it.

An engine computes prompts in their order. What is sent to it cannot be taken by a host that wakes
a moment later, so a replica gets the next request only while it can answer it in time; those that
can still be in time go before those that are late already. Which host is chosen is decided by
`placement`.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from serving.config import Fleet
from serving.gateway.placement import ReplicaLoad, pick_in_time
from serving.gateway.pool import Lease, Pool
from serving.gateway.queues import Place, Queues
from serving.switching.timing import ASSUMED_WAKE_S, patience_s


@dataclass(eq=False)
class _Waiter:
    place: Place
    avoid: frozenset[str]
    since: float
    lease: "asyncio.Future[Lease]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class LateBinding:
    """Interactive requests without a first token, by model, until a replica can take them."""

    def __init__(
        self, fleet: Fleet, pool: Pool, queues: Queues, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pool, self._queues, self._clock = pool, queues, clock
        self._ttft_s = {model.name: model.service_levels.ttft_s for model in fleet.models}
        self._waiters: defaultdict[str, list[_Waiter]] = defaultdict(list)
        self._due = False
        queues.on_change(self._look_soon)
        pool.on_change(self._look_soon)

    async def lease(self, place: Place, *, avoid: frozenset[str], until: float) -> Lease:
        """A place on a replica that can answer in time; on any, once `until` (monotonic) is past.

        Raises TimeoutError when there is no replica then.
        """
        waiter = _Waiter(place, avoid, self._clock())
        self._waiters[place.model].append(waiter)
        self._look(place.model)
        taken = False
        try:
            async with asyncio.timeout(until - self._clock()):
                lease = await asyncio.shield(waiter.lease)
            taken = True
            return lease
        except TimeoutError:
            host = await self._pool.replica(
                place.model, "interactive", avoid=avoid, until=self._clock()
            )
            return self._pool.lease(host, "interactive")
        finally:
            self._leave(waiter, taken=taken)

    def _leave(self, waiter: _Waiter, *, taken: bool) -> None:
        """It waits no more; what it was given meanwhile and did not take is free again."""
        if waiter in self._waiters[waiter.place.model]:
            self._waiters[waiter.place.model].remove(waiter)
        if waiter.lease.done() and not taken:
            waiter.lease.result().close()

    def _look_soon(self) -> None:
        """Once for all that happens in one turn of the loop."""
        if not self._due and any(self._waiters.values()):
            self._due = True
            asyncio.get_running_loop().call_soon(self._look_at_all)

    def _look_at_all(self) -> None:
        self._due = False
        for model, waiters in self._waiters.items():
            if waiters:
                self._look(model)

    def _look(self, model: str) -> None:
        """Give replicas to those that wait, in their order, while there is one in time."""
        late_before = self._clock() - self._ttft_s[model]
        waiters = self._waiters[model]
        for waiter in sorted(waiters, key=lambda w: (w.since < late_before, w.since)):
            loads = self._pool.loads(model)
            piled = frozenset(load.host for load in loads if self._is_piled(model, load))
            name = pick_in_time(loads, avoid=waiter.avoid, piled=piled)
            if name is None:
                return
            waiters.remove(waiter)
            waiter.place.taken(name)
            waiter.lease.set_result(self._pool.lease(self._pool.settings(name), "interactive"))

    def _is_piled(self, model: str, load: ReplicaLoad) -> bool:
        """Whether the prompts before it are more than it answers in time."""
        wake_s = load.wake_s if load.wake_s is not None else ASSUMED_WAKE_S
        return self._queues.prompt_work_s(load.host) > patience_s(self._ttft_s[model], wake_s)

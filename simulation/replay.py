"""The clock: a trace through a cluster under a policy, event by event."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from simulation.cluster import Cluster
from simulation.commands import Command, Grant, Swap
from simulation.cores import SharedCores
from simulation.engine import NEVER, Request
from simulation.gateway import Gateway
from simulation.host import Host
from simulation.policy import Policy
from simulation.trace import Trace

SWAPPED, PREPARED = -1, -2
"""Events of a host that are none of its engine: a hotswap ended, a model is ready in memory."""

TOLD_AFTER_S = 0.02
"""From the gateway's decision until the host begins to switch: one request in the data centre, and
the turn of the host's event loop."""


@dataclass(frozen=True)
class Replayed:
    """What happened."""

    policy: str
    requests: list[Request]
    duration_s: float
    hosts: int
    moves: int
    """Hotswaps that the policy asked for."""
    switches: int
    """Hotswaps within a grant."""
    disturbed: int
    busy_s: float
    """Summed over hosts."""


def replay(
    trace: Trace,
    cluster: Cluster,
    policy: Policy,
    *,
    gateway: Gateway | None = None,
    cores: SharedCores | None = None,
    grace_s: float = 120.0,
) -> Replayed:
    """Run the whole trace, and at most `grace_s` after its last arrival.

    What has not ended by then keeps an infinite end, and counts as a violation. Without a `gateway`
    no host switches by itself. Without `cores` every host is a machine of its own.
    """
    return _Replay(trace, cluster, policy, gateway, cores, trace.duration_s + grace_s).run()


class _Replay:
    """One run: the event queue and what happens at each event."""

    def __init__(
        self,
        trace: Trace,
        cluster: Cluster,
        policy: Policy,
        gateway: Gateway | None,
        cores: SharedCores | None,
        until: float,
    ) -> None:
        self._cluster, self._policy, self._until = cluster, policy, until
        self._gateway, self._cores = gateway, cores
        self._requests = _requests(trace)
        self._queue: list[tuple[float, int, Host, int]] = []
        """(time, order, host, version of the host, or what else has happened)."""
        self._order = 0
        self._busy_s = 0.0

    def run(self) -> Replayed:
        cluster, policy = self._cluster, self._policy
        cluster.preload(policy.start(cluster), 0.0)
        next_tick = policy.tick_s
        arrivals = iter(self._requests)
        upcoming = next(arrivals, None)
        while True:
            arrival_at = upcoming.arrived_at if upcoming is not None else NEVER
            event_at = self._queue[0][0] if self._queue else NEVER
            asks_at = self._gateway.asks_at if self._gateway is not None else NEVER
            now = min(arrival_at, event_at, asks_at, next_tick)
            if now > self._until or (upcoming is None and not self._queue and self._all_served()):
                break
            if event_at <= now:
                self._event(*heapq.heappop(self._queue))
            elif arrival_at <= now:
                assert upcoming is not None
                self._arrival(upcoming, now)
                upcoming = next(arrivals, None)
            elif asks_at <= now:
                self._ask(now)
            else:
                self._command(policy.tick(now, cluster), now)
                next_tick += policy.tick_s
            if self._cores is not None:
                self._set_paces(self._cores, now)
        return self._result()

    def _all_served(self) -> bool:
        return not self._cluster.waited_for

    def _arrival(self, request: Request, now: float) -> None:
        cluster, model = self._cluster, request.model
        for host in cluster.replicas[model]:
            self._advance(host, now)
        self._policy.arrived(now, request)
        admitted_by = cluster.arrive(request, now)
        if admitted_by is not None:
            self._expect(admitted_by)
            if self._gateway is not None and self._gateway.came(model, cluster):
                self._ask(now)
            return
        if not any(each.target == model for each in cluster.hosts) and not cluster.replicas[model]:
            self._command(self._policy.starved(now, model, cluster), now)
        self._ask(now)

    def _ask(self, now: float) -> None:
        """Make the switches that the gateway decides now."""
        if self._gateway is not None:
            self._command(self._gateway.switches(now, self._cluster), now)

    def _event(self, now: float, _order: int, host: Host, version: int) -> None:
        if version == PREPARED:
            if self._cluster.prepared(host):
                self._expect_prepared(host, now)
        elif version == SWAPPED:
            if host.target is not None and host.swap_ends_at == now:
                self._cluster.swapped(host, now)
                assert host.awake is not None
                self._dispatch(host.awake, now)
                self._maybe_idle(host, now)
        elif version == host.version and host.engine is not None:
            self._advance(host, now)
            assert host.awake is not None
            self._dispatch(host.awake, now)
            self._expect(host)
            self._maybe_idle(host, now)

    def _maybe_idle(self, host: Host, now: float) -> None:
        if host.engine is not None and not host.engine.running:
            host.used_at = now
            self._command(self._policy.idle(now, host, self._cluster), now)
            self._ask(now)

    def _dispatch(self, model: int, now: float) -> None:
        if not len(self._cluster.waiting[model]):
            return
        for host in self._cluster.replicas[model]:
            self._advance(host, now)
        for host in self._cluster.dispatch(model, now):
            self._expect(host)

    def _advance(self, host: Host, now: float) -> None:
        engine = host.engine
        assert engine is not None
        for request in engine.advance(now):
            self._policy.ended(now, request)

    def _set_paces(self, cores: SharedCores, now: float) -> None:
        for host, pace in cores.paces(self._cluster.hosts):
            engine = host.engine
            assert engine is not None
            # One whose own event is due now gets its pace after that.
            if engine.pace != pace and engine.next_event_at() > now:
                self._advance(host, now)
                engine.set_pace(pace)
                self._expect(host)

    def _expect(self, host: Host) -> None:
        """Queue the engine's next event; whatever was queued for it before is void."""
        assert host.engine is not None
        host.version += 1
        at = host.engine.next_event_at()
        if at < NEVER:
            self._order += 1
            heapq.heappush(self._queue, (at, self._order, host, host.version))

    def _expect_prepared(self, host: Host, now: float) -> None:
        self._order += 1
        at = now + self._cluster.swap_times.disk_s
        heapq.heappush(self._queue, (at, self._order, host, PREPARED))

    def _command(self, commands: Iterable[Command], now: float) -> None:
        for command in commands:
            if isinstance(command, Grant):
                if self._cluster.grant(command):
                    self._expect_prepared(self._cluster.hosts[command.host], now)
            else:
                self._swap(command, now)

    def _swap(self, swap: Swap, now: float) -> None:
        host = self._cluster.hosts[swap.host]
        engine, old = host.engine, host.awake
        if engine is not None:
            self._advance(host, now)
        told_after_s = TOLD_AFTER_S if swap.within_grant else 0.0
        ends_at = self._cluster.swap(swap, now, told_after_s=told_after_s)
        if ends_at is None:
            return
        if engine is not None:
            self._busy_s += engine.busy_s
        self._order += 1
        heapq.heappush(self._queue, (ends_at, self._order, host, SWAPPED))
        if old is not None:
            self._dispatch(old, now)

    def _result(self) -> Replayed:
        cluster = self._cluster
        busy_s = self._busy_s + sum(h.engine.busy_s for h in cluster.hosts if h.engine is not None)
        return Replayed(
            policy=self._policy.name,
            requests=self._requests,
            duration_s=self._until,
            hosts=len(cluster.hosts),
            moves=cluster.moves,
            switches=cluster.switches,
            disturbed=cluster.disturbed,
            busy_s=busy_s,
        )


def _requests(trace: Trace) -> list[Request]:
    columns = zip(
        trace.model.tolist(),
        trace.batch.tolist(),
        trace.arrival_s.tolist(),
        trace.input_tokens.tolist(),
        trace.output_tokens.tolist(),
        strict=True,
    )
    return [Request(number, *column) for number, column in enumerate(columns)]

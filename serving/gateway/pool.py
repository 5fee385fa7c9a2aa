"""The pool of engine hosts as the gateway knows it: the one owner of their states and leases.

A lease is the right to run one attempt on one host. Reports come in from
`serving.gateway.watch`; which replica to lease is decided by `serving.gateway.placement`.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from serving.config import HostSettings
from serving.errors import HostUnreachable
from serving.gateway.placement import ReplicaLoad, pick_elsewhere, pick_replica
from serving.wire import WIRE_VERSION, HostState, RequestClass

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Lease:
    """One attempt's place on a host, from `Pool.lease` until it is closed.

    `lose` is called if the host is lost meanwhile.
    """

    host: HostSettings
    request_class: RequestClass
    give_up: Callable[["Lease"], None]
    lose: Callable[[], None] = lambda: None
    lost: bool = False

    def close(self) -> None:
        """Give the place up; again is no harm."""
        self.give_up(self)

    def __enter__(self) -> "Lease":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class _Host:
    settings: HostSettings
    state: HostState | None = None
    trouble: str | None = "not asked yet"
    """Why it is not reachable; None if it is."""
    doubted: bool = False
    """Something since its last report contradicts it."""
    leases: set[Lease] = field(default_factory=set)
    since_report: Counter[RequestClass] = field(default_factory=Counter)
    """Leases opened less leases closed since the last report."""
    reports: int = 0
    awake_since: float = field(default_factory=time.monotonic)
    used_at: float = field(default_factory=time.monotonic)
    """When it last had work, as far as this gateway knows."""

    def note(self, state: HostState) -> None:
        """Take over a report."""
        before, now = self.state, time.monotonic()
        self.reports += 1
        if before is None or (before.boot_id, before.awake_model, before.phase) != (
            state.boot_id,
            state.awake_model,
            state.phase,
        ):
            self.awake_since = now
        self.state, self.doubted = state, False
        self.since_report.clear()
        self.trouble = None
        if self.load().total:
            self.used_at = now

    def view(self) -> "HostView":
        now = time.monotonic()
        load = self.load() if self.state is not None else None
        unused = load is None or not load.total
        return HostView(
            name=self.settings.name,
            state=self.state,
            trouble=self.trouble,
            attempts=len(self.leases),
            reports=self.reports,
            interactive=load.interactive if load else 0,
            batch=load.batch if load else 0,
            awake_for_s=now - self.awake_since,
            unused_for_s=now - self.used_at if unused else 0.0,
        )

    def serves(self, model: str) -> bool:
        state = self.state
        return (
            state is not None
            and self.trouble is None
            and not self.doubted
            and state.phase == "serving"
            and state.awake_model == model
        )

    def load(self) -> ReplicaLoad:
        assert self.state is not None
        awake = self.state.awake_model or ""
        running, waiting = self.state.running, self.state.waiting
        batch = running.batch + waiting.batch + self.state.held
        return ReplicaLoad(
            host=self.settings.name,
            interactive=self._count("interactive", running.interactive + waiting.interactive),
            batch=self._count("batch", batch),
            slots=self.state.slots,
            interactive_cap=self.state.interactive_cap,
            shared=len(self.state.grant) > 1,
            wake_s=self.state.wake_s.get(awake),
        )

    def _count(self, request_class: RequestClass, reported: int) -> int:
        leased = sum(lease.request_class == request_class for lease in self.leases)
        return max(leased, reported + self.since_report[request_class])


@dataclass(frozen=True)
class HostView:
    """What a reader is told of a host."""

    name: str
    state: HostState | None
    trouble: str | None
    attempts: int
    """Leases of this gateway."""
    reports: int
    """How often it has reported."""
    interactive: int
    """Requests on it, those included that were just sent there."""
    batch: int
    awake_for_s: float
    unused_for_s: float
    """How long nothing has been on it; 0 while something is."""

    @property
    def answers(self) -> bool:
        """Whether it can be reckoned with: it serves, or swaps."""
        swaps_or_serves = self.state is not None and self.state.phase in ("serving", "swapping")
        return swaps_or_serves and self.trouble is None

    @property
    def shared(self) -> bool:
        """Whether it may switch among several models."""
        return self.state is not None and len(self.state.grant) > 1


class Pool:
    """Host states, leases, and the wait for a replica."""

    def __init__(self, hosts: list[HostSettings]) -> None:
        self._hosts = {host.name: _Host(host) for host in hosts}
        self._changed = asyncio.Event()
        """A host reported or was lost: one that waits for a replica looks again."""
        self._room = asyncio.Event()
        """The same, or a lease was closed: one that waits for a slot looks again."""
        self._ask_again: Callable[[str], None] = lambda _host: None
        self._on_change: list[Callable[[], None]] = []
        self._reserved: set[str] = set()
        """Hosts that get no batch work for now."""

    def on_change(self, call: Callable[[], None]) -> None:
        """From now on call `call()` when a host has reported, is lost, or has less to do."""
        self._on_change.append(call)

    def on_doubt(self, ask_again: Callable[[str], None]) -> None:
        """Call `ask_again(host)` when a host's report turns out to be stale."""
        self._ask_again = ask_again

    def report(self, host: str, state: HostState) -> None:
        """Take in what a host says of itself."""
        entry = self._hosts[host]
        before = entry.state
        if before is not None and before.boot_id != state.boot_id:
            self._lose_leases(entry, "it was restarted")
        entry.note(state)
        if state.wire_version != WIRE_VERSION:
            entry.trouble = (
                f"it speaks wire version {state.wire_version}, this gateway speaks {WIRE_VERSION}"
            )
        self._announce()

    def lost(self, host: str, why: str) -> None:
        """A host does not answer any more: its attempts are over."""
        entry = self._hosts[host]
        if entry.trouble != why:
            log.warning("host_lost", host=host, why=why)
        entry.trouble = why
        self._lose_leases(entry, why)
        self._announce()

    def doubt(self, host: str) -> None:
        """A host acted against its last report; do not use it before it reports again."""
        self._hosts[host].doubted = True
        self._ask_again(host)

    def replicas(self, model: str) -> list[str]:
        """Names of the hosts that serve `model` now."""
        return [name for name, entry in self._hosts.items() if entry.serves(model)]

    def loads(self, model: str) -> list[ReplicaLoad]:
        """What every replica of `model` carries now."""
        return [entry.load() for entry in self._hosts.values() if entry.serves(model)]

    @property
    def shares(self) -> bool:
        """Whether any host may switch among several models."""
        states = (entry.state for entry in self._hosts.values())
        return any(state is not None and len(state.grant) > 1 for state in states)

    def batch_queued(self) -> Counter[str]:
        """By model, batch requests that its replicas have taken and have no slot for."""
        found: Counter[str] = Counter()
        for entry in self._hosts.values():
            state = entry.state
            if state is not None and state.awake_model is not None and entry.trouble is None:
                found[state.awake_model] += state.waiting.batch
        return found

    def settings(self, host: str) -> HostSettings:
        """Where a host is."""
        return self._hosts[host].settings

    def hosts(self) -> list[HostView]:
        """All hosts, in the fleet file's order."""
        return [entry.view() for entry in self._hosts.values()]

    def host(self, name: str) -> HostView:
        """One host."""
        return self._hosts[name].view()

    async def replica(
        self, model: str, request_class: RequestClass, *, avoid: frozenset[str], until: float
    ) -> HostSettings:
        """The replica to use, waiting for one until `until` (monotonic).

        Raises TimeoutError. The caller leases it before its next await.
        """
        while True:
            loads = self._open_to(request_class, model)
            name = pick_replica(loads, request_class, avoid=avoid)
            if name is not None:
                return self._hosts[name].settings
            changed = self._changed
            async with asyncio.timeout(until - time.monotonic()):
                await changed.wait()

    async def batch_slot_elsewhere(self, model: str, *, than: str) -> Lease:
        """A batch slot that is free on another replica than the host `than`, leased; waits for one.

        Whoever is first in line has it leased before the next one looks.
        """
        while True:
            name = pick_elsewhere(self._open_to("batch", model), than=than)
            if name is not None:
                return self.lease(self._hosts[name].settings, "batch")
            await self._room.wait()

    def reserve(self, host: str) -> None:
        """Send no batch work there until it is open again, but by leases on this very host."""
        self._reserved.add(host)

    def open_again(self, host: str) -> None:
        """Send batch work there again."""
        self._reserved.discard(host)
        self._announce()

    async def free_of_batch(self, host: str) -> None:
        """Wait until this gateway has no batch work on `host`."""
        leases = self._hosts[host].leases
        while any(lease.request_class == "batch" for lease in leases):
            await self._room.wait()

    def _open_to(self, request_class: RequestClass, model: str) -> list[ReplicaLoad]:
        loads = self.loads(model)
        if request_class == "interactive":
            return loads
        return [load for load in loads if load.host not in self._reserved]

    def has_room_elsewhere(self, model: str, *, than: str) -> bool:
        """Whether another replica than the host `than` has a slot that nothing is on."""
        return any(load.host != than and load.total < load.slots for load in self.loads(model))

    def load_elsewhere(self, model: str, *, than: str) -> int:
        """Requests on the least busy replica other than the host `than`; 0 without one."""
        loads = self.loads(model)
        return min((load.total for load in loads if load.host != than), default=0)

    def lease(self, host: HostSettings, request_class: RequestClass) -> Lease:
        """Count an attempt on `host` from now until the lease is closed."""
        entry = self._hosts[host.name]
        lease = Lease(host, request_class, self._give_up)
        entry.leases.add(lease)
        entry.since_report[request_class] += 1
        return lease

    def _give_up(self, lease: Lease) -> None:
        entry = self._hosts[lease.host.name]
        if lease not in entry.leases:
            return
        entry.leases.discard(lease)
        entry.since_report[lease.request_class] -= 1
        entry.used_at = time.monotonic()
        self._announce_room()

    def _lose_leases(self, entry: _Host, why: str) -> None:
        leases = [lease for lease in entry.leases if not lease.lost]
        if leases:
            log.warning("attempts_lost", host=entry.settings.name, count=len(leases), why=why)
        for lease in leases:
            lease.lost = True
            lease.lose()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
        self._announce_room()

    def _announce_room(self) -> None:
        self._room.set()
        self._room = asyncio.Event()
        for call in self._on_change:
            call()


def unreachable(host: HostSettings, why: str) -> HostUnreachable:
    """The error of a host that does not answer."""
    return HostUnreachable(
        why,
        where=f"engine host {host.name} ({host.address}:{host.port})",
        fix="It is restarted by the supervisor; see its log.",
    )

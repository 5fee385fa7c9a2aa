"""The modelled fleet: hosts, the tiers of their models, and the requests that wait.

The one owner of that state. Effects only: which host serves which model is a policy's to say.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from simulation.engine import Engine, Request
from simulation.service import ServiceModel, SwapTimes


@dataclass(frozen=True)
class Swap:
    """Make `model` the awake model of `host`. Nothing happens if it is, or is about to be."""

    host: int
    model: int


@dataclass(eq=False)
class Host:
    """One engine host."""

    number: int
    room: int
    """How many models fit into its RAM besides the awake one."""
    awake: int | None = None
    engine: Engine | None = None
    target: int | None = None
    """The model that is being swapped in."""
    swap_ends_at: float = 0.0
    swapped_at: float = float("-inf")
    asleep: list[int] = field(default_factory=list)
    """Least recently awake first."""
    version: int = 0
    """Grows with every change of what the engine will do next."""

    @property
    def assigned(self) -> int | None:
        """The model it serves or is on the way to serve."""
        return self.awake if self.target is None else self.target


@dataclass
class Waiting:
    """Requests of one model without a slot; interactive first."""

    interactive: deque[Request] = field(default_factory=deque)
    batch: deque[Request] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self.interactive) + len(self.batch)

    def of(self, request: Request) -> deque[Request]:
        """The queue `request` belongs to."""
        return self.batch if request.batch else self.interactive

    def next(self) -> deque[Request] | None:
        """The queue whose head is next; None when nobody waits."""
        return self.interactive or self.batch or None

    def oldest_at(self) -> float:
        """When the request that waits longest arrived; infinite when nobody waits."""
        heads = [queue[0].arrived_at for queue in (self.interactive, self.batch) if queue]
        return min(heads, default=float("inf"))


class Cluster:
    """Hosts and waiting requests, changed by arrivals, engines' events and commands."""

    def __init__(
        self,
        services: Sequence[ServiceModel],
        hosts: int,
        *,
        room: int,
        swap_times: SwapTimes,
        batch_cap: Sequence[int],
    ) -> None:
        """`batch_cap[model]`: with so many running, batch is not given a slot beside them."""
        self.services, self.swap_times = services, swap_times
        self.hosts = [Host(number, room) for number in range(hosts)]
        self.waiting = [Waiting() for _ in services]
        self.replicas: list[list[Host]] = [[] for _ in services]
        self.swaps = 0
        self.disturbed = 0
        self._batch_cap = batch_cap

    def arrive(self, request: Request, now: float) -> Host | None:
        """Take a request in; the host that gave it a slot, None if it waits."""
        self.waiting[request.model].of(request).append(request)
        touched = self.dispatch(request.model, now)
        return touched[0] if touched else None

    def dispatch(self, model: int, now: float) -> list[Host]:
        """Give slots to what waits for `model`; the hosts whose engines were given something."""
        waiting, touched = self.waiting[model], []
        while (queue := waiting.next()) is not None:
            host = self._place(queue[0])
            if host is None:
                break
            assert host.engine is not None
            host.engine.add(queue.popleft(), now)
            touched.append(host)
        return touched

    def _place(self, request: Request) -> Host | None:
        """The least busy replica with room."""
        best, best_key = None, (1 << 30, 1 << 30)
        cap = self._batch_cap[request.model] if request.batch else 1 << 30
        for host in self.replicas[request.model]:
            engine = host.engine
            assert engine is not None
            if engine.free_slots <= 0 or (engine.interactive and engine.running >= cap):
                continue
            key = (engine.running if request.batch else engine.interactive, engine.running)
            if key < best_key:
                best, best_key = host, key
        return best

    def swap(self, host: Host, model: int, now: float) -> float | None:
        """Begin a hotswap; when it will have ended, None if there is nothing to do.

        What ran on the host waits again, before those that wait already, with its tokens kept.
        The caller has advanced the engine to `now`.
        """
        if host.assigned == model:
            return None
        times = self.swap_times
        took_s = times.asleep_s if model in host.asleep else times.disk_s
        old = host.awake
        if old is not None and host.engine is not None:
            self._hand_back(host, old)
            self._keep(host, old)
        if model in host.asleep:
            host.asleep.remove(model)
        host.awake, host.engine, host.target = None, None, model
        host.swap_ends_at = now + took_s
        host.version += 1
        self.swaps += 1
        return host.swap_ends_at

    def swapped(self, host: Host, now: float) -> None:
        """The hotswap of `host` has ended: its target is awake."""
        assert host.target is not None
        host.awake, host.target, host.swapped_at = host.target, None, now
        host.engine = Engine(self.services[host.awake], now)
        self.replicas[host.awake].append(host)

    def _hand_back(self, host: Host, model: int) -> None:
        assert host.engine is not None
        self.replicas[model].remove(host)
        for request in reversed(host.engine.take_all()):
            request.disturbed += 1
            self.disturbed += 1
            self.waiting[model].of(request).appendleft(request)

    def _keep(self, host: Host, model: int) -> None:
        """The old model goes to sleep; the least recently awake one gives way."""
        host.asleep.append(model)
        if len(host.asleep) > host.room:
            host.asleep.pop(0)

    def preload(self, assignment: Iterable[tuple[int, int]], now: float) -> None:
        """Start with these (host, model) awake, at no cost."""
        for number, model in assignment:
            host = self.hosts[number]
            host.target = model
            self.swapped(host, now)
            host.swapped_at = float("-inf")

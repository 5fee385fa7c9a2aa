"""Turntable's own planner, fed with what the modelled fleet would tell it.

The same `propose` that allocation runs call, over host states and traffic statistics made from the
cluster. No decision about models is made here.
"""

from collections import deque

from analytics.traffic import ModelTraffic
from orchestration.allocation import propose
from serving.config import Fleet
from serving.wire import WIRE_VERSION, ClassCounts, HostState, Tier
from simulation.cluster import Cluster, Host
from simulation.commands import Command, Swap
from simulation.engine import Request

SENSOR_S = 0.5
"""How often the sensor looks."""
QUIET_S = 10.0
"""How often a plan is made while nobody waits."""


class Planned:
    """Plans while requests wait without a replica, and now and then."""

    name = "turntable"
    tick_s = SENSOR_S

    def __init__(self, fleet: Fleet, *, reaction_s: float) -> None:
        """`reaction_s`: from a plan to the hotswap commands (a run's start)."""
        self._fleet, self._reaction_s = fleet, reaction_s
        self._traffic = [_Traffic(m.name, fleet.allocation.window_s) for m in fleet.models]
        self._names = [model.name for model in fleet.models]
        self._planned_at = float("-inf")
        self._due: tuple[float, list[Swap]] | None = None
        self._last_plan = 0

    def start(self, cluster: Cluster) -> list[tuple[int, int]]:
        """Minimums first, then the models of the fleet in order, one host each."""
        minimums = [n for n, m in enumerate(self._fleet.models) for _ in range(m.min_replicas)]
        others = [n for n, m in enumerate(self._fleet.models) if not m.min_replicas]
        return list(enumerate((minimums + others)[: len(cluster.hosts)]))

    def tick(self, now: float, cluster: Cluster) -> list[Command]:
        """Hand out the moves that are due, or plan: never two allocation runs at once."""
        if self._due is not None:
            due_at, swaps = self._due
            if now < due_at:
                return []
            self._due = None
            return swaps
        if now - self._planned_at >= QUIET_S or _somebody_starves(cluster):
            swaps = self._plan(now, cluster)
            self._planned_at = now
            if swaps:
                self._due = (now + self._reaction_s, swaps)
        return []

    def starved(self, now: float, model: int, cluster: Cluster) -> list[Command]:
        """The sensor sees it."""
        return []

    def idle(self, now: float, host: Host, cluster: Cluster) -> list[Command]:
        """The planner decides, not the host."""
        return []

    def ended(self, now: float, request: Request) -> None:
        """Count it into its model's traffic."""
        self._traffic[request.model].ended(now, request)

    def _plan(self, now: float, cluster: Cluster) -> list[Command]:
        states = {
            settings.name: self._state(settings.name, host)
            for settings, host in zip(self._fleet.hosts, cluster.hosts, strict=True)
        }
        plan = propose(
            self._fleet,
            states,
            [row for model in range(len(self._names)) for row in self._rows(now, model, cluster)],
            now=now,
            swapped_at={
                s.name: h.swapped_at for s, h in zip(self._fleet.hosts, cluster.hosts, strict=True)
            },
            last_plan_id=self._last_plan,
        )
        self._last_plan = plan.plan_id
        numbers = {host.name: number for number, host in enumerate(self._fleet.hosts)}
        return [Swap(numbers[move.host], self._names.index(move.to_model)) for move in plan.moves]

    def _state(self, name: str, host: Host) -> HostState:
        engine = host.engine
        interactive = engine.interactive if engine is not None else 0
        running = engine.running if engine is not None else 0
        tiers: dict[str, Tier] = {self._names[model]: "asleep" for model in host.asleep}
        if host.awake is not None:
            tiers[self._names[host.awake]] = "awake"
        return HostState(
            host=name,
            boot_id="simulated",
            revision=1,
            wire_version=WIRE_VERSION,
            phase="serving" if host.target is None else "swapping",
            awake_model=None if host.awake is None else self._names[host.awake],
            swap_target=None if host.target is None else self._names[host.target],
            plan_id=self._last_plan,
            tiers={name: tiers.get(name, "disk") for name in self._names},
            running=ClassCounts(interactive=interactive, batch=running - interactive),
            waiting=ClassCounts(),
            slots=engine.service.slots if engine is not None else 0,
            interactive_cap=engine.service.slots if engine is not None else 0,
            memory_bytes=0,
            versions={},
        )

    def _rows(self, now: float, model: int, cluster: Cluster) -> list[ModelTraffic]:
        waiting = cluster.waiting[model]
        engines = [host.engine for host in cluster.replicas[model] if host.engine is not None]
        interactive = sum(engine.interactive for engine in engines)
        batch = sum(engine.running for engine in engines) - interactive
        return self._traffic[model].rows(
            now,
            waiting=(len(waiting.interactive), len(waiting.batch)),
            running=(interactive, batch),
        )


def _somebody_starves(cluster: Cluster) -> bool:
    return any(
        len(waiting) and not cluster.replicas[model]
        for model, waiting in enumerate(cluster.waiting)
    )


class _Traffic:
    """One model's ended requests of the last `window_s`, as the store's statistics show them."""

    def __init__(self, model: str, window_s: float) -> None:
        self._model, self._window_s = model, window_s
        self._recent: deque[tuple[float, Request]] = deque()

    def ended(self, now: float, request: Request) -> None:
        self._recent.append((now, request))

    def rows(
        self, now: float, *, waiting: tuple[int, int], running: tuple[int, int]
    ) -> list[ModelTraffic]:
        """Both classes, interactive first; a class without anything has no row."""
        while self._recent and self._recent[0][0] < now - self._window_s:
            self._recent.popleft()
        rows = []
        for batch in (False, True):
            ended = [request for _, request in self._recent if request.batch == batch]
            if ended or waiting[batch] or running[batch]:
                rows.append(self._row(ended, batch, waiting[batch], running[batch]))
        return rows

    def _row(self, ended: list[Request], batch: bool, waiting: int, running: int) -> ModelTraffic:
        return ModelTraffic(
            model=self._model,
            request_class="batch" if batch else "interactive",
            window_s=self._window_s,
            arrivals=len(ended),
            ended=len(ended),
            failed=0,
            waiting=waiting,
            running=running,
            prompt_tokens_per_s=sum(r.input_tokens for r in ended) / self._window_s,
            output_tokens_per_s=sum(r.output_tokens for r in ended) / self._window_s,
            ttft_p50_s=None,
            ttft_p95_s=None,
            tpot_p50_s=None,
            tpot_p95_s=None,
            queue_p95_s=None,
            evictions=0,
            recomputed_tokens=0,
        )

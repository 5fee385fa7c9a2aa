"""What the sensor would read of the modelled fleet: host states, traffic statistics, forecasts."""

from collections import deque
from collections.abc import Sequence

from analytics.forecast import LoadForecast, OfferedLoad
from analytics.traffic import ModelTraffic
from serving.config import Fleet
from serving.wire import WIRE_VERSION, ClassCounts, HostState, Tier
from simulation.cluster import Cluster
from simulation.engine import Request
from simulation.host import Host

MODEL_BYTES = 1024**3
"""Of every modelled engine: a host's memory is counted in models."""
FORECAST_S = 30.0
"""Over which load is foretold."""
KNOWN_AFTER_S = 300.0
"""Before, too little has been seen to say what is usual."""


class Readings:
    """Built from the modelled cluster whenever a plan is to be made."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._names = [model.name for model in fleet.models]
        self._traffic = [_Traffic(name, fleet.allocation.window_s) for name in self._names]
        self._load = OfferedLoad(len(self._names), 0.0)
        self._engine_bytes = dict.fromkeys(self._names, MODEL_BYTES)

    def arrived(self, now: float, request: Request) -> None:
        """A request has come."""
        if not request.batch:
            self._load.arrive(request.model, now)

    def ended(self, now: float, request: Request) -> None:
        """A request has ended."""
        self._traffic[request.model].ended(now, request)
        if not request.batch:
            self._load.end(request.model, now, request.input_tokens + request.output_tokens)

    def forecasts(self, now: float) -> dict[str, LoadForecast]:
        """Of every model's interactive load; none in the beginning."""
        if now < KNOWN_AFTER_S:
            return {}
        return dict(zip(self._names, self._load.forecast(now, FORECAST_S), strict=True))

    def traffic(self, now: float, cluster: Cluster) -> list[ModelTraffic]:
        """Statistics of all models."""
        rows = []
        for model, traffic in enumerate(self._traffic):
            waiting = cluster.waiting[model]
            engines = [host.engine for host in cluster.replicas[model] if host.engine is not None]
            interactive = sum(engine.interactive for engine in engines)
            batch = sum(engine.running for engine in engines) - interactive
            rows += traffic.rows(
                now,
                waiting=(waiting.interactive, waiting.batch),
                running=(interactive, batch),
            )
        return rows

    def states(
        self, cluster: Cluster, plan_id: int, awake: Sequence[int] | None = None
    ) -> dict[str, HostState | None]:
        """State of every host; `awake`: what they serve, before anything has happened."""
        return {
            settings.name: self._state(
                settings.name, host, plan_id, host.awake if awake is None else awake[host.number]
            )
            for settings, host in zip(self._fleet.hosts, cluster.hosts, strict=True)
        }

    def _state(self, name: str, host: Host, plan_id: int, awake: int | None) -> HostState:
        engine = host.engine
        interactive = engine.interactive if engine is not None else 0
        running = engine.running if engine is not None else 0
        tiers: dict[str, Tier] = dict.fromkeys(self._names, "disk")
        tiers.update((self._names[model], "asleep") for model in host.asleep)
        if awake is not None:
            tiers[self._names[awake]] = "awake"
        return HostState(
            host=name,
            boot_id="simulated",
            revision=1,
            wire_version=WIRE_VERSION,
            phase="serving" if host.target is None else "swapping",
            awake_model=None if awake is None else self._names[awake],
            swap_target=None if host.target is None else self._names[host.target],
            plan_id=plan_id,
            grant=tuple(self._names[model] for model in host.grant),
            tiers=tiers,
            running=ClassCounts(interactive=interactive, batch=running - interactive),
            waiting=ClassCounts(),
            slots=engine.service.slots if engine is not None else 0,
            interactive_cap=engine.service.slots if engine is not None else 0,
            memory_bytes=0,
            engine_bytes=self._engine_bytes,
            versions={},
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
            waiting=waiting,
            running=running,
            prompt_tokens_per_s=sum(r.input_tokens for r in ended) / self._window_s,
            output_tokens_per_s=sum(r.output_tokens for r in ended) / self._window_s,
        )

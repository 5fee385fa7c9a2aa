"""An engine host's Prometheus metrics, in a registry of its own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from serving.engine.decisions.silence import Hung
from serving.wire import Failed, Finished, Frame, GenerateRequest, HostState, SwapReport

_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 40, 80)


class HostMetrics:
    """Counts what happens on one host and renders it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._load = _Load(self.registry)
        self._generations = _Generations(self.registry)
        self._engines = _Engines(self.registry)
        self._abandoned_so_far: dict[str, int] = {}
        """Of each engine's process that was there last."""

    def admitted(self, request: GenerateRequest, queue_s: float) -> None:
        """A generation got its slot after `queue_s`."""
        self._generations.queue.labels(request.request_class).observe(queue_s)

    def closed(self, request: GenerateRequest, frame: Frame | None) -> str:
        """A generation's stream ended; in one word, how."""
        match frame:
            case None:
                outcome = "cancelled"
            case Finished():
                outcome = "finished"
            case Failed():
                outcome = "failed"
            case _:
                outcome = "handed_back"
        self._generations.ended.labels(request.model, request.request_class, outcome).inc()
        return outcome

    def evicted(self, request: GenerateRequest, reason: str, *, in_place: bool) -> None:
        """A running generation is held, or being handed back."""
        self._generations.evictions.labels(request.model, reason, str(in_place).lower()).inc()

    def released(self, request: GenerateRequest) -> None:
        """A held generation goes on."""
        self._generations.releases.labels(request.model).inc()

    def abandoned(self, model: str, so_far: int) -> None:
        """An engine's process has given up `so_far` steps; a new process begins at none."""
        before = self._abandoned_so_far.get(model, 0)
        self._abandoned_so_far[model] = so_far
        fresh = so_far - before if so_far >= before else so_far
        self._engines.abandoned.labels(model).inc(fresh)

    def hung(self, hung: Hung) -> None:
        """An engine hangs and is ended."""
        self._engines.hung.labels(hung.model, hung.doing).inc()

    def swapped(self, report: SwapReport) -> None:
        """A hotswap ended."""
        self._engines.swaps.labels(report.kind, report.outcome).inc()
        for phase, seconds in report.phases_s.items():
            self._engines.swap_phases.labels(phase).observe(seconds)

    def sampled(self, state: HostState, output_tokens: int) -> None:
        """The host's state now, and the tokens generated since the last sample."""
        self._load.set(state)
        self._generations.tokens.inc(output_tokens)

    def render(self) -> bytes:
        """The metrics in Prometheus' text form."""
        return generate_latest(self.registry)


class _Load:
    """What is on the host now."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._running = Gauge(
            "turntable_running", "Generations with a slot", ["class"], registry=registry
        )
        self._waiting = Gauge(
            "turntable_waiting", "Generations without a slot", ["class"], registry=registry
        )
        self._held = Gauge(
            "turntable_held", "Batch generations evicted in place", registry=registry
        )
        self._cap = Gauge(
            "turntable_interactive_cap",
            "Largest running batch while interactive work is present",
            registry=registry,
        )
        self._awake = Gauge(
            "turntable_awake", "1 for the awake model", ["model"], registry=registry
        )
        self._memory = Gauge(
            "turntable_memory_bytes", "Memory of host and engines", registry=registry
        )

    def set(self, state: HostState) -> None:
        for gauge, counts in ((self._running, state.running), (self._waiting, state.waiting)):
            gauge.labels("interactive").set(counts.interactive)
            gauge.labels("batch").set(counts.batch)
        for model in state.tiers:
            self._awake.labels(model).set(model == state.awake_model)
        self._held.set(state.held)
        self._cap.set(state.interactive_cap)
        self._memory.set(state.memory_bytes)


class _Generations:
    """What became of generations."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.ended = Counter(
            "turntable_generations",
            "Generations ended",
            ["model", "class", "outcome"],
            registry=registry,
        )
        self.evictions = Counter(
            "turntable_evictions",
            "Running generations handed back, or held in place",
            ["model", "reason", "in_place"],
            registry=registry,
        )
        self.releases = Counter(
            "turntable_releases",
            "Held generations that went on in place",
            ["model"],
            registry=registry,
        )
        self.tokens = Counter("turntable_output_tokens", "Tokens generated", registry=registry)
        self.queue = Histogram(
            "turntable_queue_seconds",
            "Wait for a slot",
            ["class"],
            buckets=_SECONDS,
            registry=registry,
        )


class _Engines:
    """What engines did, and what was done to them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.abandoned = Counter(
            "turntable_steps_abandoned",
            "Steps of batch work given up for an interactive request, to be computed again",
            ["model"],
            registry=registry,
        )
        self.hung = Counter(
            "turntable_engines_hung",
            "Engines that answered nothing for too long and were killed, by what they were to do",
            ["model", "was_to"],
            registry=registry,
        )
        self.swaps = Counter(
            "turntable_swaps", "Hotswaps ended", ["kind", "outcome"], registry=registry
        )
        self.swap_phases = Histogram(
            "turntable_swap_phase_seconds",
            "Phases of hotswaps",
            ["phase"],
            buckets=_SECONDS,
            registry=registry,
        )

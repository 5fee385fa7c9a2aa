"""The gateway's Prometheus metrics, in a registry of their own: vLLM fills the default one."""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from analytics.events import RequestEnded
from serving.gateway.census import Census
from serving.gateway.gaps import BUCKETS_S, TokenGaps
from serving.gateway.pool import Pool
from serving.wire import RequestClass

CLASSES: tuple[RequestClass, ...] = ("interactive", "batch")
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_BY_CLASS = ("model", "request_class")


class GatewayMetrics:
    """Counters fed by ended requests; gauges read when they are scraped."""

    def __init__(self, models: list[str], pool: Pool, census: Census) -> None:
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "turntable_gateway_requests",
            "Requests ended",
            (*_BY_CLASS, "endpoint", "outcome"),
            registry=registry,
        )
        self._tokens = Counter(
            "turntable_gateway_tokens", "Tokens", (*_BY_CLASS, "kind"), registry=registry
        )
        self._resumes = Counter(
            "turntable_gateway_resumes", "Attempts after the first", _BY_CLASS, registry=registry
        )
        self._evictions = Counter(
            "turntable_gateway_evictions", "Slots lost to others", _BY_CLASS, registry=registry
        )
        self._held_s = Counter(
            "turntable_gateway_held_seconds",
            "Time that generations were evicted in place",
            _BY_CLASS,
            registry=registry,
        )
        self._ttft = Histogram(
            "turntable_gateway_ttft_seconds",
            "Time to first token",
            _BY_CLASS,
            buckets=_SECONDS,
            registry=registry,
        )
        self._tpot = Histogram(
            "turntable_gateway_tpot_seconds",
            "Time per output token after the first",
            _BY_CLASS,
            buckets=_SECONDS,
            registry=registry,
        )
        self._switches = Counter(
            "turntable_gateway_switches",
            "Switches of shared hosts asked for, by the model to wake",
            ("model", "outcome"),
            registry=registry,
        )
        self._gaps = _Gaps()
        registry.register(self._gaps)
        registry.register(_Gauges(models, pool, census))

    def observe(self, ended: RequestEnded, gaps: TokenGaps) -> None:
        """Count an ended request, and the gaps between its tokens."""
        key = (ended.model, ended.request_class)
        self._requests.labels(*key, ended.endpoint, ended.outcome).inc()
        self._tokens.labels(*key, "prompt").inc(ended.prompt_tokens)
        self._tokens.labels(*key, "output").inc(ended.output_tokens)
        self._tokens.labels(*key, "recomputed").inc(ended.recomputed_tokens)
        self._tokens.labels(*key, "saved").inc(ended.saved_tokens)
        self._evictions.labels(*key).inc(ended.evictions)
        self._held_s.labels(*key).inc(ended.held_s)
        self._gaps.add(key, gaps)
        self._resumes.labels(*key).inc(max(0, ended.attempts - 1))
        if ended.ttft_s is not None:
            self._ttft.labels(*key).observe(ended.ttft_s)
        if ended.tpot_s is not None:
            self._tpot.labels(*key).observe(ended.tpot_s)

    def switched(self, model: str, outcome: str) -> None:
        """A switch to `model` was asked for, and ended so."""
        self._switches.labels(model, outcome).inc()

    def render(self) -> bytes:
        """The metrics in Prometheus' text form."""
        return generate_latest(self._registry)


class _Gaps(Collector):
    """Gaps between tokens; counted by each generation, since tokens are too many to observe."""

    def __init__(self) -> None:
        self._by_class: dict[tuple[str, RequestClass], TokenGaps] = {}

    def add(self, key: tuple[str, RequestClass], gaps: TokenGaps) -> None:
        self._by_class.setdefault(key, TokenGaps()).merge(gaps)

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(
            "turntable_gateway_token_gap_seconds", "Time between two tokens", labels=_BY_CLASS
        )
        bounds = [*map(str, BUCKETS_S), "+Inf"]
        for key, gaps in self._by_class.items():
            cumulated = zip(bounds, accumulate(gaps.counts), strict=True)
            family.add_metric(key, list(cumulated), gaps.sum_s)
        yield family


class _Gauges(Collector):
    def __init__(self, models: list[str], pool: Pool, census: Census) -> None:
        self._models, self._pool, self._census = models, pool, census

    def collect(self) -> Iterator[Metric]:
        replicas = GaugeMetricFamily("turntable_gateway_replicas", "Replicas", labels=["model"])
        load = GaugeMetricFamily(
            "turntable_gateway_generations",
            "Generations waiting for a slot, and running",
            labels=[*_BY_CLASS, "place"],
        )
        for model in self._models:
            replicas.add_metric([model], len(self._pool.replicas(model)))
            for request_class in CLASSES:
                for place in ("waiting", "running"):
                    count = self._census.count(place, model, request_class)
                    load.add_metric([model, request_class, place], count)
        yield replicas
        yield load

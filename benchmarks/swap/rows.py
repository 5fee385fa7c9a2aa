"""From samples to rows. Pure."""

import math

from benchmarks.figures import Row, Target
from benchmarks.statistics import median, quantile, ratio
from benchmarks.swap.samples import LoadSamples, SwapSamples
from serving.wire import Tier

_MB = 1e6
_NAN = float("nan")
_STOCK_TARGETS: dict[Tier, float] = {"asleep": 40, "parked": 15, "disk": 2.5}
_WORDS: dict[Tier, str] = {
    "asleep": "an asleep model",
    "parked": "a parked model",
    "disk": "a model on disk",
}


def rows_of(samples: SwapSamples) -> list[Row]:
    """Every figure of the benchmark, those with targets as they are asked for."""
    return [
        *_against_stock(samples),
        *_gap(samples),
        *_cycles(samples),
        *_idle(samples),
        *_load(samples.load, "", Target("<=", 1.5)),
        *_load(samples.load_fresh, " on a fresh engine", None),
        _restored(samples),
        *_sizes(samples),
    ]


def _against_stock(samples: SwapSamples) -> list[Row]:
    rows = [Row("stock server, start to first token", median(samples.stock_start_s), "s")]
    for tier, bound in _STOCK_TARGETS.items():
        took_s = samples.first_token_s(tier)
        share = ratio(samples.stock_start_s, took_s)
        rows += [
            Row(f"swap to {_WORDS[tier]}, command to first token, p50", median(took_s), "s"),
            Row(f"stock start / swap to {_WORDS[tier]}", share, "ratio", Target(">=", bound)),
        ]
    return rows


def _gap(samples: SwapSamples) -> list[Row]:
    gap_ms = 1000 * median(samples.gaps_s())
    return [Row("gap in service where both fit, p50", gap_ms, "ms", Target("<=", 100))]


def _cycles(samples: SwapSamples) -> list[Row]:
    found = samples.cycles
    p50, p99 = median(found.swap_s), quantile(found.swap_s, 0.99)
    before = found.memory_before_bytes
    growth = 100 * (found.memory_after_bytes / before - 1) if before else _NAN
    identical = found.identical / found.compared if found.compared else _NAN
    failures = found.failures if found.swap_s else _NAN
    return [
        Row("swaps in a row", len(found.swap_s), "count"),
        Row("swaps in a row, p50", p50, "s"),
        Row("swaps in a row, p99 / p50", p99 / p50 if p50 else _NAN, "ratio", Target("<=", 2)),
        Row("swaps in a row, failures", failures, "count", Target("<=", 0)),
        Row("swaps in a row, growth of memory", growth, "%", Target("<=", 5)),
        Row("swaps in a row, outputs as in the first cycle", identical, "share", Target(">=", 1)),
    ]


def _idle(samples: SwapSamples) -> list[Row]:
    beyond_mb = median(samples.idle_beyond_weights_bytes) / _MB
    return [Row("idle engine, memory beyond its weights", beyond_mb, "MB", Target("<=", 350))]


def _load(found: LoadSamples, where: str, longest_gap: Target | None) -> list[Row]:
    failed = found.failed if found.streams else _NAN
    gaps = found.longest_gaps_s
    # A stream with fewer than two tokens has no gap; the worst must not hide it.
    worst = _NAN if any(map(math.isnan, gaps)) else quantile(gaps, 1.0)
    name = f"swap under load{where}"
    return [
        Row(f"{name}, generations handed back", found.handed_back, "count"),
        Row(f"{name}, failed requests", failed, "count", Target("<=", 0)),
        Row(f"{name}, longest gap between tokens", worst, "s", longest_gap),
        Row(f"{name}, longest gap, median stream", median(gaps), "s"),
    ]


def _restored(samples: SwapSamples) -> Row:
    """Of the largest model's wake from host RAM; it is whole then, KV cache and all."""
    link, asleep = samples.link, [s for s in samples.sizes if s.from_tier == "asleep"]
    share = _NAN
    if link is not None and asleep:
        largest = max(asleep, key=lambda swap: swap.weights_bytes)
        restored_bytes_per_s = largest.weights_bytes / link.devices / largest.wake_s
        share = restored_bytes_per_s / link.bytes_per_s
    return Row(
        "weights restored from host RAM, share of host-to-device bandwidth",
        share,
        "share",
        Target(">=", 0.8),
        impossible="the hosts run on CPU: there is no device to restore to" if not link else None,
    )


def _sizes(samples: SwapSamples) -> list[Row]:
    rows = []
    for size in sorted({swap.weights_bytes for swap in samples.sizes}):
        for tier in _STOCK_TARGETS:
            of_both = [s for s in samples.sizes if (s.weights_bytes, s.from_tier) == (size, tier)]
            took_s = [swap.first_token_s for swap in of_both]
            label = f"{size / 1e9:.1f} GB of random weights, swap from {tier}"
            rows.append(Row(label, median(took_s), "s"))
    return rows

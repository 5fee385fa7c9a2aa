"""From samples to rows. Pure."""

from collections.abc import Sequence

from benchmarks.coserve.ceiling import batch_share_ceiling, room_beside
from benchmarks.coserve.gateway_cost import STREAMS
from benchmarks.coserve.oracle import excess_percent
from benchmarks.coserve.recorded import Recorded
from benchmarks.coserve.rounds import over, over_rounds, quantile_over, quantile_over_rounds
from benchmarks.coserve.samples import (
    ArmSamples,
    CoserveSamples,
    GatewaySamples,
    RowSamples,
    SizeSamples,
)
from benchmarks.coserve.workload import SIZES
from benchmarks.figures import Row, Target
from benchmarks.statistics import mean, median, quantile
from benchmarks.streams import Stream

_NAN = float("nan")
_MS = 1000.0
_LATENCIES = (
    ("TTFT p50", ArmSamples.ttfts_s, 0.5, 1.2),
    ("TTFT p99", ArmSamples.ttfts_s, 0.99, 1.5),
    ("TPOT p50", ArmSamples.tpots_s, 0.5, 1.15),
    ("TPOT p99", ArmSamples.tpots_s, 0.99, 1.25),
    ("longest gap between tokens, p99", ArmSamples.longest_gaps_s, 0.99, 1.5),
)
"""Name, samples, quantile, and how many times the value alone it may be."""


def rows_of(samples: CoserveSamples) -> list[Row]:
    """Every figure of the benchmark: the sizes, then what goes beside them."""
    rows = []
    for name, size in samples.sizes.items():
        rows += [*_size(name, size), *_batch(name, size, samples), *_accounts(name, size.ours)]
    return [
        *rows,
        *_exact(samples.rows),
        *_two_hosts(samples),
        *_gateway(samples.gateway),
        Row("batch alone", _batch_rate(samples.batch_alone), "tokens/s"),
        *(
            Row(f"profile: TPOT of a batch of {point.batch_size}", _MS * point.tpot_s, "ms")
            for point in samples.profile
        ),
    ]


def _size(name: str, size: SizeSamples) -> list[Row]:
    """Interactive work: alone, ours and the stock server's over alone."""
    rows = [
        Row(f"{name}: interactive requests an arm", len(size.alone.interactive), "count"),
        Row(f"{name}: share of time with interactive work", _present(size.alone), "share"),
        Row(f"{name}: TPOT service level", _MS * median(size.levels_s), "ms"),
    ]
    for label, values, share, bound in _LATENCIES:
        ours = quantile_over_rounds(size.ours, size.alone, values, share)
        pooled = quantile_over(size.ours, size.alone, values, share)
        stock = quantile_over(size.stock, size.stock_alone, values, share)
        rows += [
            Row(f"{name}: {label}, alone", _MS * quantile(values(size.alone), share), "ms"),
            Row(f"{name}: {label}, ours / alone", ours, "ratio", Target("<=", bound)),
            Row(f"{name}: {label}, ours / alone, rounds pooled", pooled, "ratio"),
            Row(f"{name}: {label}, stock priority / stock alone", stock, "ratio"),
        ]
    return rows + _gaps(name, size)


def _gaps(name: str, size: SizeSamples) -> list[Row]:
    arms = {"alone": size.alone, "stock priority": size.stock, "ours": size.ours}
    return [
        Row(f"{name}: gaps between tokens {label}, {arm}", _MS * quantile(gaps, share), "ms")
        for arm, found in arms.items()
        for gaps in [found.gaps_s()]
        for label, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    ]


def _batch(name: str, size: SizeSamples, samples: CoserveSamples) -> list[Row]:
    alone, stock = _batch_rate(samples.batch_alone), _batch_rate(size.stock)
    ours = over_rounds(size.ours, samples.batch_alone, _batch_rate)
    profile, slots = samples.profile, samples.slots
    ceiling = batch_share_ceiling(profile, size.alone.presence(), slots, alone)
    room = room_beside(profile, _burst(name), slots)
    return [
        Row(f"{name}: batch tokens/s, ours / alone", ours, "ratio", Target(">=", 0.8)),
        Row(f"{name}: batch tokens/s, ceiling under the TPOT bounds", ceiling, "ratio"),
        Row(
            f"{name}: batch generations that the TPOT p50 bound lets beside a burst", room, "count"
        ),
        Row(f"{name}: batch tokens/s, stock priority / alone", over(stock, alone), "ratio"),
    ]


def _accounts(name: str, ours: ArmSamples) -> list[Row]:
    """What Turntable recorded of its own arm."""
    found = ours.recorded
    evictions, least = _sum(found, "evictions"), _sum(found, "least_evictions")
    caps = [float(cap) for recorded in found for cap in recorded.caps]
    return [
        Row(
            f"{name}: tokens recomputed / generated",
            _recomputed(found),
            "ratio",
            Target("<=", 0.05),
        ),
        Row(f"{name}: evictions", evictions, "count"),
        Row(f"{name}: of them in place", _sum(found, "in_place"), "count"),
        Row(f"{name}: evictions, least possible", least, "count"),
        Row(
            f"{name}: evictions beyond the least possible",
            excess_percent(evictions, least),
            "%",
            Target("<=", 10),
        ),
        Row(f"{name}: batch rows lost or doubled", harmed(ours.batch), "count", Target("<=", 0)),
        Row(f"{name}: interactive cap, p50", median(caps), "count"),
    ]


def harmed(streams: Sequence[Stream]) -> float:
    """Batch answers that broke, ended short or too long; those cut off by the window are whole."""
    if not streams:
        return _NAN
    return sum(s.error is not None or s.tokens > s.question.max_tokens for s in streams)


def _exact(rows: RowSamples) -> list[Row]:
    compared = len(rows.undisturbed)
    return [
        Row("rows in float32: compared", compared, "count"),
        Row("rows in float32: evictions beside interactive work", rows.evictions, "count"),
        Row(
            "rows in float32: lost, doubled or changed",
            differing_rows(rows) if compared else _NAN,
            "count",
            Target("<=", 0),
        ),
    ]


def differing_rows(rows: RowSamples) -> int:
    """Rows that are not in both runs exactly once, whole and with the same text."""
    texts = [{s.question.text: s for s in run} for run in (rows.undisturbed, rows.disturbed)]
    repeated = sum(len(run) for run in (rows.undisturbed, rows.disturbed)) - sum(map(len, texts))
    before, after = texts
    changed = sum(
        question not in before
        or question not in after
        or before[question].ended_at is None
        or after[question].ended_at is None
        or before[question].text != after[question].text
        for question in before | after
    )
    return changed + repeated


def _two_hosts(samples: CoserveSamples) -> list[Row]:
    found = samples.two_hosts
    rows = [
        Row(
            f"two hosts: {label}, ours / alone",
            quantile_over(found.ours, found.alone, values, share),
            "ratio",
        )
        for label, values, share, _ in _LATENCIES
    ]
    recorded = found.ours.recorded
    batch = [_batch_rate(arm) for arm in (found.ours, found.batch_alone)]
    evictions = _sum(recorded, "evictions")
    return [
        *rows,
        Row("two hosts: batch tokens/s, ours / alone", over(*batch), "ratio"),
        Row("two hosts: batch alone", batch[1], "tokens/s"),
        Row("two hosts: evictions", evictions, "count"),
        Row(
            "two hosts: generations that went on on the other host / evictions",
            over(_sum(recorded, "elsewhere"), evictions),
            "share",
        ),
        Row("two hosts: tokens recomputed / generated", _recomputed(recorded), "ratio"),
        Row("two hosts: batch rows lost or doubled", harmed(found.ours.batch), "count"),
    ]


def _gateway(found: GatewaySamples) -> list[Row]:
    """Pair by pair: the middle of the differences, and of the ratios."""
    added, stock = found.added_ttft_s, found.stock_tokens_per_s
    shares = [over(*pair) for pair in zip(found.tokens_per_s, stock, strict=True)]
    throughput = f"gateway: throughput of {STREAMS} streams"
    return [
        Row("gateway: pairs of single requests", len(added), "count"),
        Row(
            "gateway: added TTFT p50, one request at a time",
            _MS * median(added),
            "ms",
            Target("<=", 5),
        ),
        Row(f"{throughput}, turntable / stock", median(shares), "ratio", Target(">=", 0.95)),
        Row(f"{throughput}, stock", median(stock), "tokens/s"),
    ]


def _burst(name: str) -> int:
    return next(size.burst for size in SIZES if size.name == name)


def _batch_rate(arm: ArmSamples) -> float:
    return mean(arm.batch_tokens_per_s())


def _present(arm: ArmSamples) -> float:
    return sum(arm.presence().values()) if arm.segments else _NAN


def _recomputed(found: Sequence[Recorded]) -> float:
    return over(_sum(found, "recomputed_tokens"), _sum(found, "output_tokens"))


def _sum(found: Sequence[Recorded], name: str) -> int:
    return sum(getattr(recorded, name) for recorded in found)

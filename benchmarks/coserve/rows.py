"""From samples to rows. Pure."""

from collections.abc import Sequence

from benchmarks.coserve.ceiling import batch_share_ceiling
from benchmarks.coserve.gateway_cost import STREAMS
from benchmarks.coserve.oracle import excess_percent
from benchmarks.coserve.recorded import Recorded
from benchmarks.coserve.samples import ArmSamples, CoserveSamples, RowSamples, SizeSamples
from benchmarks.figures import Row, Target
from benchmarks.statistics import mean, median, quantile, ratio
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
        *_gateway(samples),
        Row("batch alone", mean(samples.batch_alone.batch_tokens_per_s()), "tokens/s"),
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
        Row(f"{name}: TPOT service level (1.1 x alone)", _MS * size.level_s, "ms"),
    ]
    for label, values, share, bound in _LATENCIES:
        alone, ours = quantile(values(size.alone), share), quantile(values(size.ours), share)
        stock_alone = quantile(values(size.stock_alone), share)
        stock = quantile(values(size.stock), share)
        rows += [
            Row(f"{name}: {label}, alone", _MS * alone, "ms"),
            Row(f"{name}: {label}, ours / alone", _over(ours, alone), "ratio", Target("<=", bound)),
            Row(
                f"{name}: {label}, stock priority / stock alone", _over(stock, stock_alone), "ratio"
            ),
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
    alone = mean(samples.batch_alone.batch_tokens_per_s())
    ours, stock = (mean(arm.batch_tokens_per_s()) for arm in (size.ours, size.stock))
    ceiling = batch_share_ceiling(samples.profile, size.alone.presence(), samples.slots)
    return [
        Row(
            f"{name}: batch tokens/s, ours / alone", _over(ours, alone), "ratio", Target(">=", 0.8)
        ),
        Row(f"{name}: batch tokens/s, ceiling under the TPOT bounds", ceiling, "ratio"),
        Row(f"{name}: batch tokens/s, stock priority / alone", _over(stock, alone), "ratio"),
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
            _over(quantile(values(found.ours), share), quantile(values(found.alone), share)),
            "ratio",
        )
        for label, values, share, _ in _LATENCIES
    ]
    recorded = found.ours.recorded
    batch = [mean(arm.batch_tokens_per_s()) for arm in (found.ours, found.batch_alone)]
    evictions = _sum(recorded, "evictions")
    return [
        *rows,
        Row("two hosts: batch tokens/s, ours / alone", _over(*batch), "ratio"),
        Row("two hosts: batch alone", batch[1], "tokens/s"),
        Row("two hosts: evictions", evictions, "count"),
        Row(
            "two hosts: generations that went on on the other host / evictions",
            _over(_sum(recorded, "elsewhere"), evictions),
            "share",
        ),
        Row("two hosts: tokens recomputed / generated", _recomputed(recorded), "ratio"),
        Row("two hosts: batch rows lost or doubled", harmed(found.ours.batch), "count"),
    ]


def _gateway(samples: CoserveSamples) -> list[Row]:
    ours, stock = samples.gateway, samples.stock_server
    added = median(ours.single_ttft_s) - median(stock.single_ttft_s)
    rates = [[load.tokens_per_s for load in side.side_by_side] for side in (ours, stock)]
    return [
        Row("gateway: added TTFT p50, one request at a time", _MS * added, "ms", Target("<=", 5)),
        Row(
            f"gateway: throughput of {STREAMS} streams, turntable / stock",
            ratio(*rates),
            "ratio",
            Target(">=", 0.95),
        ),
        Row(f"gateway: throughput of {STREAMS} streams, stock", median(rates[1]), "tokens/s"),
    ]


def _present(arm: ArmSamples) -> float:
    return sum(arm.presence().values()) if arm.segments else _NAN


def _recomputed(found: Sequence[Recorded]) -> float:
    return _over(_sum(found, "recomputed_tokens"), _sum(found, "output_tokens"))


def _sum(found: Sequence[Recorded], name: str) -> int:
    return sum(getattr(recorded, name) for recorded in found)


def _over(value: float, base: float) -> float:
    return value / base if base else _NAN

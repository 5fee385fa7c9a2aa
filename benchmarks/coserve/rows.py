"""From samples to rows. Pure."""

from benchmarks.coserve.accounts import batch_rate, harmed, recomputed_share, total
from benchmarks.coserve.gateway_cost import STREAMS
from benchmarks.coserve.rounds import over, quantile_over
from benchmarks.coserve.samples import CoserveSamples, GatewaySamples, RowSamples
from benchmarks.coserve.size_rows import LATENCIES, size_rows
from benchmarks.figures import Row, Target
from benchmarks.statistics import median

_NAN = float("nan")
_MS = 1000.0


def rows_of(samples: CoserveSamples) -> list[Row]:
    """Every figure of the benchmark: the sizes, then what goes beside them."""
    return [
        *(row for name in samples.sizes for row in size_rows(name, samples)),
        *_exact(samples.rows),
        *_two_hosts(samples),
        *_gateway(samples.gateway),
        Row("batch alone", batch_rate(samples.batch_alone), "tokens/s"),
        *(
            Row(f"profile: TPOT of a batch of {point.batch_size}", _MS * point.tpot_s, "ms")
            for point in samples.profile
        ),
    ]


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
        for label, values, share, _ in LATENCIES
    ]
    recorded = found.ours.recorded
    batch = [batch_rate(arm) for arm in (found.ours, found.batch_alone)]
    evictions = total(recorded, "evictions")
    return [
        *rows,
        Row("two hosts: batch tokens/s, ours / alone", over(*batch), "ratio"),
        Row("two hosts: batch alone", batch[1], "tokens/s"),
        Row("two hosts: evictions", evictions, "count"),
        Row(
            "two hosts: generations that went on on the other host / evictions",
            over(total(recorded, "elsewhere"), evictions),
            "share",
        ),
        Row("two hosts: tokens recomputed / generated", recomputed_share(recorded), "ratio"),
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

"""From samples to rows. Pure."""

from benchmarks.failover.samples import FailoverSamples
from benchmarks.figures import Row, Target
from benchmarks.statistics import median, quantile
from benchmarks.timeline import part_rows

_WHAT = "kill to minimum replicas back"


def rows_of(samples: FailoverSamples) -> list[Row]:
    """What clients lost, how soon the minimum was back, and the parts of that."""
    back_s = [each.timeline.parts.total_s for each in samples.failovers]
    host_back_s = [each.host_back_s for each in samples.failovers]
    return [
        Row("requests lost", len(samples.lost), "count", Target("<=", 0)),
        Row(f"{_WHAT}, p50", median(back_s), "s"),
        Row(f"{_WHAT}, p95", quantile(back_s, 0.95), "s", Target("<=", 8.0)),
        Row("kills", len(samples.failovers), "count"),
        Row("requests sent", samples.requests, "count"),
        Row("streams that ran on a killed host", len(samples.gaps_s), "count"),
        Row("silence of a stream over the kill, p50", median(samples.gaps_s), "s"),
        Row("silence of a stream over the kill, max", quantile(samples.gaps_s, 1.0), "s"),
        *part_rows(_WHAT, [each.timeline.parts for each in samples.failovers]),
        Row("kill to the killed host serving again, p50", median(host_back_s), "s"),
    ]

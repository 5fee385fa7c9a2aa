"""From samples to rows. Pure."""

from collections import Counter

from benchmarks.batch.kill_plan import VICTIMS
from benchmarks.batch.samples import (
    VALIDATED_LINES,
    BatchRun,
    BatchSamples,
    ScaleRun,
    SurvivalSamples,
)
from benchmarks.figures import Row, Target
from benchmarks.statistics import median, ratio

_GIB = 1024**3


def rows_of(samples: BatchSamples) -> list[Row]:
    """Throughput, long files, kills."""
    return [*_throughput(samples), *_scale(samples), *_survival(samples.survival)]


def _throughput(samples: BatchSamples) -> list[Row]:
    offline = [run.tokens_per_s for run in samples.offline]
    one = [run.tokens_per_s for run in samples.one_host]
    busy = [run.busy_tokens_per_s for run in samples.one_host]
    two = [run.tokens_per_s for run in samples.two_hosts]
    return [
        Row(
            "output tokens/s, submission to completion / vLLM's run_batch",
            ratio(one, offline),
            "ratio",
            Target(">=", 0.9),
        ),
        Row(
            "output tokens/s, first to last request / vLLM's run_batch",
            ratio(busy, offline),
            "ratio",
        ),
        Row("output tokens/s, submission to completion", median(one), "tokens/s"),
        Row("output tokens/s, vLLM's run_batch without its start", median(offline), "tokens/s"),
        Row(
            "sending the file to the first request",
            median(list(map(_before_s, samples.one_host))),
            "s",
        ),
        Row("first to last request", median(list(map(_busy_s, samples.one_host))), "s"),
        Row("last request to completed", median(list(map(_after_s, samples.one_host))), "s"),
        Row("output tokens/s, two hosts / one host", ratio(two, one), "ratio"),
        Row(
            "prompts that share beginnings, mixed: output tokens/s / vLLM's run_batch",
            ratio(
                [run.tokens_per_s for run in samples.shared],
                [run.tokens_per_s for run in samples.shared_offline],
            ),
            "ratio",
        ),
    ]


def _before_s(run: BatchRun) -> float:
    return run.first_at - run.began_at


def _busy_s(run: BatchRun) -> float:
    return run.last_at - run.first_at


def _after_s(run: BatchRun) -> float:
    return run.completed_at - run.last_at


def _scale(samples: BatchSamples) -> list[Row]:
    rows = [
        Row(
            f"{VALIDATED_LINES:,} lines, created to in progress",
            samples.validated_s,
            "s",
            Target("<=", 5.0),
        )
    ]
    if len(samples.scale) == 2:
        small, large = samples.scale
        rows += [_growth(small, large, process) for process in ("gateway", "run")]
        rows += [
            Row(f"peak memory of the {process}, {run.lines:,} lines", _peak(run, process), "GiB")
            for process in ("gateway", "run")
            for run in samples.scale
        ]
        rows.append(Row(f"{large.lines:,} lines of one token", large.seconds, "s"))
    return rows


def _growth(small: ScaleRun, large: ScaleRun, process: str) -> Row:
    return Row(
        f"peak memory of the {process}, {large.lines:,} lines / {small.lines:,}",
        ratio([_peak(large, process)], [_peak(small, process)]),
        "ratio",
        Target("<=", 1.5),
    )


def _peak(run: ScaleRun, process: str) -> float:
    """In GiB; NaN if the process was never seen."""
    return run.peak_bytes.get(process, float("nan")) / _GIB


def _survival(found: SurvivalSamples) -> list[Row]:
    kills = Counter(kill.victim for kill in found.kills)
    in_flight = sum(kill.in_flight for kill in found.kills)
    none = Target("<=", 0)
    again = found.asked_again + found.resumed
    return [
        *(
            Row(f"kills of a {victim}", kills[victim], "count", Target(">=", 10))
            for victim in VICTIMS
        ),
        Row("rows over all kills", found.rows, "count"),
        Row("rows lost", found.differences.lost, "count", none),
        Row("rows doubled", found.differences.doubled, "count", none),
        Row("rows changed", found.differences.changed, "count", none),
        Row("rows in flight at kills", in_flight, "count"),
        Row("rows computed again: asked again", found.asked_again, "count"),
        Row("rows computed again: gone on on another host", found.resumed, "count"),
        Row(
            "rows computed again / in flight at kills",
            ratio([again], [in_flight]),
            "ratio",
            Target("<=", 1.0),
        ),
    ]

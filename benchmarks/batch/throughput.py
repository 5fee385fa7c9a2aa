"""One file through the whole of Turntable, timed from sending it to its completion."""

from pathlib import Path
from typing import Any

from benchmarks.batch.comparison import output_tokens, read_rows
from benchmarks.batch.samples import BatchRun
from benchmarks.batch.submission import BatchClient
from benchmarks.instance import Instance
from benchmarks.setting import BenchmarkUnable

_RUN_LIMIT_S = 900.0
_RECORDED_LIMIT_S = 60.0
_SPAN = """
SELECT count(*) AS requests, min(arrived_at) AS first_at, max(ended_at) AS last_at
FROM requests WHERE request_class = 'batch' AND outcome = 'completed' AND arrived_at >= $since
"""


def time_batch(instance: Instance, lines: Path, rows: int) -> BatchRun:
    """Submit `lines` and wait. Raises BenchmarkUnable if one of its `rows` has no answer."""
    client = BatchClient(instance)
    submitted = client.submit(lines, key=lines.name)
    completed_at = client.wait_completed(submitted, _RUN_LIMIT_S)
    answered = read_rows(client.result_lines(submitted))
    good = [row for row in answered if row.failed is None]
    if len(good) != rows:
        problems = [row.failed for row in answered if row.failed is not None]
        raise BenchmarkUnable(
            f"{len(good)} of {rows} rows have an answer: {problems[:3]}",
            where=submitted.batch_id,
            fix="Look at the run's page and at the gateway's log.",
        )
    span = _recorded(instance, submitted.began_at, rows)
    return BatchRun(
        began_at=submitted.began_at,
        first_at=span["first_at"],
        last_at=span["last_at"],
        completed_at=completed_at,
        output_tokens=output_tokens(answered),
    )


def _recorded(instance: Instance, since: float, rows: int) -> dict[str, Any]:
    """When its requests came and ended, once all are in the store."""
    with instance.reader() as reader:

        def complete() -> dict[str, Any] | None:
            (span,) = reader.query(_SPAN, {"since": since}).to_dicts()
            return span if span["requests"] >= rows else None

        return instance.until(complete, "its requests in the store", limit_s=_RECORDED_LIMIT_S)

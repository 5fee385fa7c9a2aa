"""What gateway and hosts recorded of the trace, put together with what its clients saw."""

from collections.abc import Sequence
from typing import Any

from analytics.traffic import TrafficReader
from benchmarks.calibration.engines import PREFIX
from benchmarks.calibration.samples import Answered, Prefill, Swapped
from benchmarks.instance import Instance
from benchmarks.streams import Stream
from benchmarks.timeline import RECORDED_LIMIT_S, run_created_at

_REQUESTS = """
SELECT request_id, model, request_class, prompt_tokens FROM requests
WHERE starts_with(request_id, $prefix)
"""
_SWAPS = """
SELECT s.*, p.run_id
FROM swaps s LEFT JOIN plans p ON s.plan_id = p.plan_id AND p.made_at > $since
WHERE s.outcome = 'committed' AND s.ended_at > $since ORDER BY s.ended_at
"""


def read_prefills(
    instance: Instance, reader: TrafficReader, streams: Sequence[Stream]
) -> list[Prefill]:
    """Each prompt's length as the gateway counted it, and its first token as the client saw it."""
    rows = _requests(instance, reader, PREFIX, len(streams))
    return [Prefill(rows[s.request_id]["prompt_tokens"], s.ttft_s) for s in streams]


def read_answered(
    instance: Instance, reader: TrafficReader, streams: Sequence[Stream]
) -> list[Answered]:
    """Every request of the trace."""
    rows = _requests(instance, reader, "trace-", len(streams))
    began = min(stream.asked_at for stream in streams)
    return [_answered(stream, rows[stream.request_id], began) for stream in streams]


def read_swaps(instance: Instance, reader: TrafficReader, since: float) -> list[Swapped]:
    """The hotswaps that ended after `since`."""
    return [
        Swapped(
            from_tier=row["from_tier"],
            total_s=row["total_s"],
            ordered_s=_ordered_s(instance, row),
        )
        for row in reader.query(_SWAPS, {"since": since}).to_dicts()
    ]


def _ordered_s(instance: Instance, row: dict[str, Any]) -> float | None:
    if row["run_id"] is None or row.get("kind") == "switch":
        return None  # a switch names the plan that allowed it; no run asked for it
    began_at: float = row["ended_at"] - row["total_s"]
    return began_at - run_created_at(instance, row["run_id"])


def _requests(
    instance: Instance, reader: TrafficReader, prefix: str, number: int
) -> dict[str, dict[str, Any]]:
    def complete() -> dict[str, dict[str, Any]] | None:
        rows = reader.query(_REQUESTS, {"prefix": prefix}).to_dicts()
        return {row["request_id"]: row for row in rows} if len(rows) >= number else None

    what = f"{number} requests in the store"
    return instance.until(complete, what, limit_s=RECORDED_LIMIT_S)


def _answered(stream: Stream, row: dict[str, Any], began: float) -> Answered:
    assert stream.ended_at is not None  # a stream that was not served has ended the benchmark
    return Answered(
        arrived_s=stream.asked_at - began,
        model=row["model"],
        batch=row["request_class"] == "batch",
        prompt_tokens=row["prompt_tokens"],
        output_tokens=stream.tokens,
        ttft_s=stream.ttft_s,
        tpot_s=stream.tpot_s,
        ended_s=stream.ended_at - began,
    )

"""What gateway and hosts recorded of the trace, and how much later its clients saw it.

The fleet is what is modelled, so its own record counts. Clients here share the fleet's cores, and
take up what was sent to them when they get one.
"""

from collections.abc import Sequence
from typing import Any

from analytics.traffic import TrafficReader
from benchmarks.calibration.engines import PREFIX
from benchmarks.calibration.samples import Answered, Prefill, Swapped
from benchmarks.instance import Instance
from benchmarks.streams import Stream
from benchmarks.timeline import RECORDED_LIMIT_S, run_created_at

_REQUESTS = """
SELECT request_id, model, request_class, prompt_tokens, output_tokens,
       arrived_at, ended_at, ttft_s, tpot_s
FROM requests
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
    """Each prompt's length and its time to the first token."""
    rows = _requests(instance, reader, PREFIX, len(streams)).values()
    return [Prefill(row["prompt_tokens"], row["ttft_s"]) for row in rows]


def read_answered(
    instance: Instance, reader: TrafficReader, streams: Sequence[Stream]
) -> tuple[list[Answered], list[float]]:
    """Every request of the trace; how much longer each client waited for its first token."""
    rows = _requests(instance, reader, "trace-", len(streams))
    began_at = min(row["arrived_at"] for row in rows.values())
    later_s = [stream.ttft_s - rows[stream.request_id]["ttft_s"] for stream in streams]
    return [_answered(row, began_at) for row in rows.values()], later_s


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


def _answered(row: dict[str, Any], began_at: float) -> Answered:
    return Answered(
        arrived_s=row["arrived_at"] - began_at,
        model=row["model"],
        batch=row["request_class"] == "batch",
        prompt_tokens=row["prompt_tokens"],
        output_tokens=row["output_tokens"],
        ttft_s=row["ttft_s"],
        tpot_s=row["tpot_s"] or 0.0,  # none below two tokens
        ended_s=row["ended_at"] - began_at,
    )

"""What gateway and hosts recorded of a segment, read from the store."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from analytics.traffic import TrafficReader
from benchmarks.coserve.oracle import CapSample, Presence, least_evictions
from benchmarks.coserve.segment import Segment
from benchmarks.servers import Server, until

_LIMIT_S = 60.0
_REQUESTS = "FROM requests WHERE starts_with(request_id, $prefix)"
_EVICTIONS = "FROM evictions WHERE starts_with(request_id, $prefix)"
_CAPS = """
SELECT sampled_at, host, interactive_cap, slots FROM engine_samples
WHERE sampled_at BETWEEN $began AND $ended AND slots > 0
"""
_SAMPLED = "SELECT DISTINCT host FROM engine_samples WHERE sampled_at > $ended"
_AROUND_S = 3.0
"""Samples come about once a second: the one before the window belongs to it."""


@dataclass(frozen=True)
class Recorded:
    """One segment, as Turntable itself accounts for it."""

    output_tokens: int
    """Of batch generations, those that the end of the window cut off too."""
    recomputed_tokens: int
    evictions: int
    in_place: int
    """Of the evictions, those that kept their KV cache on the engine."""
    elsewhere: int
    """Batch generations that had more than one host."""
    least_evictions: int
    """The fewest that were possible: `benchmarks.coserve.oracle`."""
    caps: list[int]
    """The interactive cap, in samples."""


def read_recorded(reader: TrafficReader, name: str, segment: Segment, gateway: Server) -> Recorded:
    """Wait until the segment's requests are all in the store, and read what became of them."""
    sent = sum(s.asked_at == s.asked_at for s in (*segment.batch, *segment.interactive))
    prefix = {"prefix": f"{name}-"}

    def complete() -> list[dict[str, Any]] | None:
        rows = reader.query(_REQUESTS, prefix).to_dicts()
        if len(rows) < sent:
            return None
        # A host writes in order: what it recorded before a sample is there when the sample is.
        ended = {"ended": max(row["ended_at"] for row in rows)}
        sampled = set(reader.query(_SAMPLED, ended)["host"])
        return rows if {host for row in rows for host in row["hosts"]} <= sampled else None

    requests = until(
        complete, f"{sent} requests of {name} in the store", limit_s=_LIMIT_S, server=gateway
    )
    evictions = [
        row for row in reader.query(_EVICTIONS, prefix).to_dicts() if row["reason"] == "evicted"
    ]
    began = segment.began_at - _AROUND_S
    span = {"began": began, "ended": max(row["ended_at"] for row in requests)}
    samples = reader.query(_CAPS, span).to_dicts()
    batch = [row for row in requests if row["request_class"] == "batch"]
    return Recorded(
        output_tokens=sum(row["output_tokens"] for row in batch),
        recomputed_tokens=sum(row["recomputed_tokens"] for row in batch),
        evictions=len(evictions),
        in_place=sum(bool(row["in_place"]) for row in evictions),
        elsewhere=sum(len(row["hosts"]) > 1 for row in batch),
        least_evictions=_least(requests, samples) if batch else 0,
        caps=[row["interactive_cap"] for row in samples],
    )


def _least(requests: list[dict[str, Any]], samples: list[dict[str, Any]]) -> int:
    """Host by host: each had its own interactive requests and its own cap."""
    presences, caps = defaultdict(list), defaultdict(list)
    slots: dict[str, int] = {}
    for row in requests:
        if row["request_class"] == "interactive" and row["hosts"]:
            presences[row["hosts"][-1]].append(Presence(row["arrived_at"], row["ended_at"]))
    for row in samples:
        caps[row["host"]].append(CapSample(row["sampled_at"], row["interactive_cap"]))
        slots[row["host"]] = row["slots"]
    return sum(
        least_evictions(found, caps[host], slots[host])
        for host, found in presences.items()
        if host in slots
    )

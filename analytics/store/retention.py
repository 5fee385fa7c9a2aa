"""Removing old events, so that the database stays small."""

from dataclasses import dataclass

import duckdb

from analytics.events import (
    BatchSizePoint,
    EngineSample,
    Evaluation,
    Event,
    Eviction,
    GatewaySample,
    PlanMade,
    RequestArrived,
    RequestEnded,
    Swap,
)

_TIME_COLUMNS: dict[type[Event], str] = {
    RequestArrived: "arrived_at",
    RequestEnded: "ended_at",
    GatewaySample: "sampled_at",
    EngineSample: "sampled_at",
    Eviction: "evicted_at",
    Swap: "ended_at",
    PlanMade: "made_at",
    Evaluation: "evaluated_at",
    BatchSizePoint: "measured_at",
}
_SAMPLES: frozenset[type[Event]] = frozenset({GatewaySample, EngineSample, Evaluation})


@dataclass(frozen=True)
class Retention:
    """How long events are kept. Samples are many and are asked about sooner or not at all."""

    events_s: float
    samples_s: float


def remove_old(connection: duckdb.DuckDBPyConnection, retention: Retention, now: float) -> int:
    """Delete what is older than `retention` says; returns how many rows that was."""
    removed = _delete(connection, "writers", "written_at", now - retention.events_s)
    for event_type, column in _TIME_COLUMNS.items():
        keep_s = retention.samples_s if event_type in _SAMPLES else retention.events_s
        removed += _delete(connection, event_type.table, column, now - keep_s)
    return removed


def _delete(connection: duckdb.DuckDBPyConnection, table: str, column: str, until: float) -> int:
    # Both names are constants of this module's tables, never a user's text.
    row = connection.execute(f"DELETE FROM {table} WHERE {column} < ?", [until]).fetchone()  # noqa: S608
    assert row is not None
    return int(row[0])

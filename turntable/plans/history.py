"""What was decided before: plans made, and looks of the sensor that asked for none."""

from datetime import datetime
from typing import Any

import msgspec

from analytics.traffic import TrafficReader

_LATEST = "FROM decision_history LIMIT $count"


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the history."""

    decided: datetime
    """UTC."""
    kind: str
    """`plan`, or `evaluation`: the sensor looked and asked for none."""
    plan_id: int
    because: str
    moves: list[dict[str, str]]
    replicas: dict[str, int]
    overrides: list[str]
    run_id: str | None


def read_history(reader: TrafficReader, count: int) -> list[Decision]:
    """The latest `count` decisions, latest first."""
    rows = reader.query(_LATEST, {"count": count})
    return [_decision(row) for row in rows.iter_rows(named=True)]


def _decision(row: dict[str, Any]) -> Decision:
    return Decision(
        decided=row["decided"],
        kind=row["kind"],
        plan_id=row["plan_id"],
        because=row["because"],
        moves=row["moves"] or [],
        replicas=row["replicas"],
        overrides=row["overrides"] or [],
        run_id=row["run_id"],
    )

"""What was decided before: plans made, and looks of the sensor that asked for none."""

from datetime import datetime
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

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


def history_page(decisions: list[Decision]) -> RenderableType:
    """The decisions for people, latest first."""
    if not decisions:
        return Text("Nothing was decided yet.")
    return Group(*(part for decision in decisions for part in _parts(decision)))


def _parts(decision: Decision) -> list[RenderableType]:
    at = decision.decided.strftime("%Y-%m-%d %H:%M:%S UTC")
    what = f"plan {decision.plan_id}" if decision.kind == "plan" else "no run asked for"
    lines = [decision.because, *(f"override: {words}" for words in decision.overrides)]
    lines += [
        f"{m['host']}: {m['from_model'] or 'nothing'} -> {m['to_model']}, {m['reason']}"
        for m in decision.moves
    ]
    said = [Padding(Text(line), (0, 0, 0, 4)) for line in lines if line]
    return [Text(f"{at}  {what}", "bold"), *said]


def _decision(row: dict[str, Any]) -> Decision:
    return Decision(
        decided=row["decided"],
        kind=row["kind"],
        plan_id=row["plan_id"],
        because=row["because"],
        moves=[_mapping(move) for move in row["moves"] or []],
        replicas=_mapping(row["replicas"]),
        overrides=row["overrides"] or [],
        run_id=row["run_id"],
    )


def _mapping(entries: Any) -> dict[str, Any]:
    """A DuckDB MAP, which polars shows as a list of its entries."""
    return {entry["key"]: entry["value"] for entry in entries or []}

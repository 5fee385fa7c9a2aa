"""Metadata tables: what a person sees of a decision in Dagster's pages."""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg
import msgspec

from analytics.swap_activity import SwapActivity
from analytics.traffic import ModelTraffic
from orchestration.allocation.operators.setbacks import Setback
from orchestration.allocation.plan import Plan
from orchestration.profiling.figures import SizeFigures
from serving.wire import HostState, SwapReport

NONE = "-"

Cell = str | int | float | bool


def table(rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> dg.MetadataValue:
    """Rows as a table with typed columns, also when there are none."""
    names = list(columns)
    cells = [{name: _cell(row.get(name)) for name in names} for row in rows]
    schema = dg.TableSchema(
        columns=[
            dg.TableColumn(name, _type(cells[0][name]) if cells else "string") for name in names
        ]
    )
    return dg.MetadataValue.table(records=[dg.TableRecord(row) for row in cells], schema=schema)


def traffic_table(rows: Iterable[ModelTraffic]) -> dg.MetadataValue:
    """The traffic statistics, one row a model and class."""
    columns = [field.name for field in msgspec.structs.fields(ModelTraffic)]
    return table((msgspec.structs.asdict(row) for row in rows), columns)


def hosts_table(states: Mapping[str, HostState | None]) -> dg.MetadataValue:
    """What every host does; i/b: interactive and batch."""
    columns = [
        "host",
        "phase",
        "awake",
        "plan",
        "running i/b",
        "waiting",
        "held",
        "slots",
        "tiers",
    ]
    return table((_host_row(host, state) for host, state in states.items()), columns)


def moves_table(plan: Plan) -> dg.MetadataValue:
    """The plan's moves with their reasons."""
    return table(
        (
            {"host": m.host, "from": m.from_model, "to": m.to_model, "reason": m.reason}
            for m in plan.moves
        ),
        ["host", "from", "to", "reason"],
    )


def overrides_table(plan: Plan) -> dg.MetadataValue:
    """What operators told, who and until when."""
    return table(
        (
            {"about": o.name, "override": o.words, "by": o.by, "note": o.note}
            for o in plan.overrides
        ),
        ["about", "override", "by", "note"],
    )


def grants_table(plan: Plan) -> dg.MetadataValue:
    """What every host may have awake, and why demand could not move it, if so."""
    return table(
        (
            {"host": host, "grant": ", ".join(grant), "immovable": plan.immovable.get(host)}
            for host, grant in plan.grants.items()
        ),
        ["host", "grant", "immovable"],
    )


def setbacks_table(setbacks: Iterable[Setback]) -> dg.MetadataValue:
    """Hotswaps that failed lately, which the plan keeps away from for a while."""
    columns = [field.name for field in msgspec.structs.fields(Setback)]
    return table((msgspec.structs.asdict(setback) for setback in setbacks), columns)


def verdicts_table(plan: Plan) -> dg.MetadataValue:
    """Replicas and the reason for them, one row a model; with little beside it, it reads well."""
    return table(
        (
            {"model": model, "replicas": plan.replicas[model], "why": why}
            for model, why in plan.verdicts.items()
        ),
        ["model", "replicas", "why"],
    )


def models_table(plan: Plan) -> dg.MetadataValue:
    """Demand (interactive / batch) and a replica's tokens/s, one row a model.

    Few and narrow columns: a page is as wide as its widest table, and what is beside it is cut off.
    """
    columns = [
        "model",
        "tokens/s i/b",
        "waiting i/b",
        "held",
        "capped",
        "capacity",
        "known",
    ]
    return table(
        (
            {
                "model": model,
                "tokens/s i/b": _pair(
                    round(demand.interactive_tokens_per_s, 1), round(demand.batch_tokens_per_s, 1)
                ),
                "waiting i/b": _pair(demand.waiting_interactive, demand.waiting_batch),
                "held": demand.held_batch,
                "capped": demand.capped_replicas,
                "capacity": round(plan.capacity[model].tokens_per_s, 1),
                "known": plan.capacity[model].source,
            }
            for model, demand in plan.demand.items()
        ),
        columns,
    )


def swaps_table(reports: Iterable[SwapReport]) -> dg.MetadataValue:
    """Hotswaps and their timings."""
    columns = ["host", "from", "to", "outcome", "tier", "total s", "phases", "handed back", "error"]
    return table(
        (
            {
                "host": r.host,
                "from": r.from_model,
                "to": r.to_model,
                "outcome": r.outcome,
                "tier": r.from_tier,
                "total s": round(r.total_s, 3),
                "phases": ", ".join(f"{name} {s:.3f} s" for name, s in r.phases_s.items()),
                "handed back": r.handed_back,
                "error": r.error,
            }
            for r in reports
        ),
        columns,
    )


def swap_activity_table(rows: Iterable[SwapActivity]) -> dg.MetadataValue:
    """Planned hotswaps and switches within grants, apart, one row a host and kind."""
    columns = [
        "host",
        "kind",
        "made",
        "failed",
        "took p50 s",
        "waited p50 s",
        "handed back",
        "latest",
    ]
    return table(
        (
            {
                "host": row.host,
                "kind": row.kind,
                "made": row.committed,
                "failed": row.failed,
                "took p50 s": row.took_p50_s,
                "waited p50 s": row.waited_p50_s,
                "handed back": row.handed_back,
                "latest": row.latest_model,
            }
            for row in rows
        ),
        columns,
    )


def sizes_table(figures: Iterable[SizeFigures]) -> dg.MetadataValue:
    """A batch-size profile, one row a batch size."""
    columns = [
        "batch size",
        "tokens/s",
        "TPOT p50 ms",
        "TPOT p99 ms",
        "TTFT p50 ms",
        "TTFT p99 ms",
        "rounds disturbed",
    ]
    return table(
        (
            {
                "batch size": one.batch_size,
                "tokens/s": round(one.tokens_per_s, 1),
                "TPOT p50 ms": round(1000 * one.tpot_p50_s, 1),
                "TPOT p99 ms": round(1000 * one.tpot_p99_s, 1),
                "TTFT p50 ms": round(1000 * one.ttft_p50_s, 1),
                "TTFT p99 ms": round(1000 * one.ttft_p99_s, 1),
                "rounds disturbed": one.disturbed,
            }
            for one in figures
        ),
        columns,
    )


def timings_table(timings_s: Mapping[str, float]) -> dg.MetadataValue:
    """How long each part took."""
    return table(
        ({"part": part, "seconds": round(s, 3)} for part, s in timings_s.items()),
        ["part", "seconds"],
    )


def _host_row(host: str, state: HostState | None) -> dict[str, Any]:
    if state is None:
        return {"host": host, "phase": "unreachable"}
    return {
        "host": host,
        "phase": state.phase,
        "awake": state.awake_model,
        "plan": state.plan_id,
        "running i/b": _pair(state.running.interactive, state.running.batch),
        "waiting": state.waiting.interactive + state.waiting.batch,
        "held": state.held,
        "slots": f"{state.slots} (cap {state.interactive_cap})",
        "tiers": ", ".join(f"{model} {tier}" for model, tier in state.tiers.items()),
    }


def _pair(interactive: float, batch: float) -> str:
    """The two classes in one cell, as `turntable status` shows them."""
    return f"{interactive} / {batch}"


def _cell(value: Any) -> Cell:
    if value is None:
        return NONE
    if isinstance(value, float):
        return round(value, 3)
    return value if isinstance(value, str | int | bool) else str(value)


def _type(value: Cell) -> str:
    for kind, name in ((bool, "bool"), (int, "int"), (float, "float")):
        if isinstance(value, kind):
            return name
    return "string"

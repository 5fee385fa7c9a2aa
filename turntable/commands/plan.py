"""`turntable plan`: what the control plane would decide now. A dry run."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from turntable.settings import console, print_json, settings
from turntable.supervision.instance import running_instance

if TYPE_CHECKING:
    from orchestration.allocation import Plan


def plan(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the allocation plan for the traffic of now, with all its reasons. Moves nothing."""
    from orchestration.allocation.snapshot import plan_from, take_snapshot

    chosen = settings(context)
    running_instance(chosen.state)
    fleet = chosen.fleet()
    snapshot = take_snapshot(fleet, chosen.state)
    proposed = plan_from(fleet, snapshot, trigger="turntable plan (dry run)")
    if json:
        print_json(proposed)
        return
    if snapshot.traffic_error:
        console().print(f"[yellow]without traffic statistics:[/] {snapshot.traffic_error}")
    _show(proposed)


def _show(proposed: "Plan") -> None:
    out = console()
    verdicts = Table(box=None)
    for heading in ("model", "replicas", "because"):
        verdicts.add_column(heading)
    for model, verdict in proposed.verdicts.items():
        verdicts.add_row(model, str(proposed.replicas.get(model, 0)), verdict)
    out.print(verdicts)
    if not proposed.moves:
        out.print("\nNothing would move.")
        return
    moves = Table(box=None, title="moves", title_justify="left")
    for heading in ("host", "from", "to", "because"):
        moves.add_column(heading)
    for move in proposed.moves:
        moves.add_row(move.host, move.from_model or "nothing", move.to_model, move.reason)
    out.print(moves)

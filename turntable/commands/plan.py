"""`turntable plan`: what the control plane would decide now (a dry run), and what it decided.

Its subcommands, by which operators steer the planner, are in `overrides`.
"""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from turntable.commands.overrides import freeze, overrides, pin, release, replicas
from turntable.settings import Settings, console, print_json, settings
from turntable.supervision.instance import running_instance

if TYPE_CHECKING:
    from orchestration.allocation import Plan

PAGE_WIDTH = 100
HISTORY_LENGTH = 20

plan_commands = typer.Typer(invoke_without_command=True, rich_markup_mode="rich")
for _command in (pin, freeze, replicas, release, overrides):
    plan_commands.command()(_command)


@plan_commands.callback()
def plan(
    context: typer.Context,
    explain: Annotated[
        bool, typer.Option("--explain", help="With demand, capacity and grants.")
    ] = False,
    history: Annotated[
        bool, typer.Option("--history", help="What was decided before, latest first.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the allocation plan for the traffic of now, with all its reasons. Moves nothing.

    With a subcommand, tell the planner what an operator wants for a while.
    """
    if context.invoked_subcommand is not None:
        return
    chosen = settings(context)
    running_instance(chosen.state)
    if history:
        _show_history(chosen, json=json)
    else:
        _show_plan(chosen, explain=explain, json=json)


def _show_plan(chosen: Settings, *, explain: bool, json: bool) -> None:
    from orchestration.allocation.reading.snapshot import plan_from, take_snapshot
    from turntable.plans.explanation import explain as explained_by
    from turntable.plans.pages import explanation_page

    fleet = chosen.fleet()
    snapshot = take_snapshot(fleet, chosen.state)
    proposed = plan_from(fleet, snapshot, trigger="turntable plan (dry run)")
    explained = explained_by(fleet, proposed, snapshot)
    if json:
        print_json(explained if explain else proposed)
    elif explain:
        console(at_most=PAGE_WIDTH).print(explanation_page(explained))
    else:
        _show(proposed, snapshot.traffic_error)


def _show_history(chosen: Settings, *, json: bool) -> None:
    from analytics.traffic import TrafficReader
    from turntable.plans.history import read_history
    from turntable.plans.pages import history_page

    store = chosen.fleet().store
    with TrafficReader(store.address, store.port, chosen.state.token("store")) as reader:
        decisions = read_history(reader, HISTORY_LENGTH)
    if json:
        print_json(decisions)
    else:
        console(at_most=PAGE_WIDTH).print(history_page(decisions))


def _show(proposed: "Plan", traffic_error: str | None) -> None:
    out = console()
    if traffic_error:
        out.print(f"[yellow]without traffic statistics:[/] {traffic_error}")
    for override in proposed.overrides:
        out.print(f"[yellow]{override.words}[/]")
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

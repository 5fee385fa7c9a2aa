"""`turntable swap`: change the awake model of one host by hand."""

from typing import Annotated

import typer
from rich.table import Table

from serving.config import Fleet
from serving.errors import HostUnreachable
from serving.wire import SwapCommand, SwapReport
from turntable.known import check_host, check_model
from turntable.settings import FAILED, Settings, console, print_json, settings


def swap(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="The model to wake.")],
    host: Annotated[str, typer.Option(help="The engine host to wake it on.")],
    reason: Annotated[str, typer.Option(help="Recorded with the swap.")] = "by hand",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make MODEL the awake model of a host, and show how long each phase took.

    The allocation sensor may move it again when the traffic says so; turntable plan pin keeps it.
    """
    from serving.clients.host import HostClient

    chosen = settings(context)
    fleet = chosen.fleet()
    check_model(chosen, model)
    check_host(chosen, host)
    command = SwapCommand(model=model, plan_id=_next_plan_id(fleet, chosen), reason=reason)
    with HostClient(*chosen.host_credentials(fleet.host(host))) as client:
        report = client.swap(command)
    if json:
        print_json(report)
    else:
        _show(report)
    if report.outcome not in ("committed", "unchanged"):
        raise typer.Exit(FAILED)


def _next_plan_id(fleet: Fleet, chosen: Settings) -> int:
    """One above every plan that a reachable host has obeyed, so that none refuses it as stale."""
    from serving.clients.host import HostClient

    latest = 0
    for host in fleet.hosts:
        with HostClient(*chosen.host_credentials(host)) as client:
            try:
                latest = max(latest, client.state().plan_id)
            except HostUnreachable:
                continue  # only hosts that answer matter; the swapped one must, later
    return latest + 1


def _show(report: SwapReport) -> None:
    out = console()
    out.print(
        f"{report.host}: {report.from_model or 'nothing'} -> {report.to_model} "
        f"({report.from_tier}), [bold]{report.outcome}[/] in {report.total_s:.2f} s, "
        f"plan {report.plan_id}, {report.handed_back} generations handed back, "
        f"{report.service_gap_s:.2f} s without service"
    )
    if report.error:
        out.print(f"[red]{report.error}[/]")
    table = Table(box=None)
    table.add_column("phase")
    table.add_column("seconds", justify="right")
    for phase, seconds in report.phases_s.items():
        table.add_row(phase, f"{seconds:.3f}")
    out.print(table)

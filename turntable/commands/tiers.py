"""`turntable tiers`: where every host has every model's weights, and bringing one elsewhere."""

from typing import Annotated, Any

import typer
from rich.table import Table

from serving.errors import HostUnreachable
from serving.wire import HostState, IdleTier, TierReport
from turntable.known import check_host, check_model
from turntable.settings import FAILED, Settings, console, print_json, settings

_GIB = 1024**3


def tiers(
    context: typer.Context,
    host: Annotated[str | None, typer.Argument(help="Show this host only.")] = None,
    model: Annotated[str | None, typer.Argument(help="Change the tier of this model.")] = None,
    tier: Annotated[IdleTier | None, typer.Argument(help="Where to bring it.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show tiers and memory by host and model; with HOST MODEL TIER, bring a model to a tier.

    The awake model's tier is changed by a hotswap only: turntable swap.
    """
    chosen = settings(context)
    if host is not None:
        check_host(chosen, host)
    if host is not None and model is not None:
        check_model(chosen, model)
        if tier is None:
            raise typer.BadParameter(f"name the tier for {model}: asleep, parked or disk")
        _change(chosen, host, model, tier, json=json)
    else:
        _show(chosen, host, json=json)


def _change(chosen: Settings, host: str, model: str, tier: IdleTier, *, json: bool) -> None:
    from serving.clients.host import HostClient

    with HostClient(*chosen.host_credentials(chosen.fleet().host(host))) as client:
        report = client.change_tier(model, tier)
    if json:
        print_json(report)
    else:
        console().print(_told(report))
    if report.error is not None:
        raise typer.Exit(FAILED)


def _told(report: TierReport) -> str:
    said = f"{report.host}: {report.model} {report.from_tier} -> [bold]{report.tier}[/]"
    failed = f"\n[red]{report.error}[/]" if report.error else ""
    return f"{said} in {report.total_s:.2f} s{failed}"


def _show(chosen: Settings, host: str | None, *, json: bool) -> None:
    hosts = [entry.name for entry in chosen.fleet().hosts if host in (None, entry.name)]
    rows = [row for name in hosts for row in _rows(name, _state(chosen, name))]
    if json:
        print_json(rows)
        return
    table = Table(box=None)
    for heading in ("host", "model", "tier", "memory", ""):
        table.add_column(heading)
    for row in rows:
        memory = row["engine_bytes"]
        held = "-" if memory is None else f"{memory / _GIB:.2f} GiB"
        table.add_row(row["host"], row["model"] or "-", row["tier"], held, row["note"])
    console().print(table)


def _state(chosen: Settings, host: str) -> HostState | None:
    from serving.clients.host import HostClient

    with HostClient(*chosen.host_credentials(chosen.fleet().host(host))) as client:
        try:
            return client.state()
        except HostUnreachable:
            return None  # a row of the table says so


def _rows(host: str, state: HostState | None) -> list[dict[str, Any]]:
    """One a model, or one that says that the host does not answer."""
    if state is None:
        row = {"host": host, "model": None, "tier": "unreachable"}
        return [{**row, "engine_bytes": None, "note": ""}]
    return [
        {
            "host": host,
            "model": model,
            "tier": tier,
            "engine_bytes": state.engine_bytes.get(model),
            "note": _note(model, state),
        }
        for model, tier in state.tiers.items()
    ]


def _note(model: str, state: HostState) -> str:
    """What is about to change, and why it may stay."""
    notes = [f"on its way to {m.tier}" for m in [state.moving] if m and m.model == model]
    notes += [f"{move.tier} asked for" for move in state.tiers_wanted if move.model == model]
    if state.swap_target == model:
        notes.append("waking")
    if model in state.standbys:
        notes.append("standby")
    return ", ".join(notes)

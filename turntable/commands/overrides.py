"""`turntable plan pin | freeze | replicas | release | overrides`: what operators tell the planner.

They write to the state folder and need no running instance: the control plane sees an override
within a second, or when it is there again.
"""

import getpass
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from turntable.durations import parse_duration_s
from turntable.settings import Settings, console, print_json, settings

if TYPE_CHECKING:
    from orchestration.allocation.operators.overrides import Override

For = Annotated[
    str, typer.Option("--for", metavar="DURATION", help="How long: 90s, 30m, 2h, 1d or 1h30m.")
]
Note = Annotated[str, typer.Option(help="Why; shown wherever the override is.")]
By = Annotated[str, typer.Option(help="Who; you, unless given.", default_factory=getpass.getuser)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def pin(
    context: typer.Context,
    host: Annotated[str, typer.Argument(help="The engine host.")],
    models: Annotated[list[str], typer.Argument(help="Its model, or the models that share it.")],
    by: By,
    long: For = "1h",
    note: Note = "",
    json: Json = False,
) -> None:
    """Give HOST this grant whatever the demand, and keep it there."""
    from orchestration.allocation.operators.overrides import Pin

    now = time.time()
    override = Pin(
        host=host,
        grant=tuple(models),
        made_at=now,
        until=now + parse_duration_s(long),
        by=by,
        note=note,
    )
    _put_in_force(settings(context), override, now, json=json)


def freeze(
    context: typer.Context,
    by: By,
    long: For = "1h",
    note: Note = "",
    json: Json = False,
) -> None:
    """Make no planned moves, but to restore a model's minimum when a host is lost.

    Pinned hosts are still brought to their grant, and shared hosts switch within theirs.
    """
    from orchestration.allocation.operators.overrides import Freeze

    now = time.time()
    override = Freeze(made_at=now, until=now + parse_duration_s(long), by=by, note=note)
    _put_in_force(settings(context), override, now, json=json)


def replicas(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="The model.")],
    count: Annotated[int, typer.Argument(min=0, help="How many engine hosts it is to have.")],
    by: By,
    long: For = "1h",
    note: Note = "",
    json: Json = False,
) -> None:
    """Hold MODEL at COUNT replicas, instead of its minimum and maximum."""
    from orchestration.allocation.operators.overrides import Replicas

    now = time.time()
    override = Replicas(
        model=model, count=count, made_at=now, until=now + parse_duration_s(long), by=by, note=note
    )
    _put_in_force(settings(context), override, now, json=json)


def release(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="The host or model of the override, or: freeze.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="End every override.")] = False,
    json: Json = False,
) -> None:
    """End an override before its time."""
    from orchestration.allocation.operators.override_record import OverrideRecord
    from orchestration.errors import OverrideRefused

    if (name is None) == (not everything):
        raise typer.BadParameter("name a host, a model or freeze; or give --all")
    record = OverrideRecord.of(settings(context).state)
    now = time.time()
    ended = record.release(name, now=now)
    if name is not None and not ended:
        known = ", ".join(o.name for o in record.in_force(now)) or "none"
        raise OverrideRefused(
            f"no override of {name!r} is in force",
            where=str(record.path),
            fix=f"In force: {known}.",
        )
    _show(ended, now, "released" if ended else "There was none.", json=json)


def overrides(context: typer.Context, json: Json = False) -> None:
    """List what operators told the planner, and when it ends."""
    from orchestration.allocation.operators.override_record import OverrideRecord

    now = time.time()
    in_force = OverrideRecord.of(settings(context).state).in_force(now)
    _show(in_force, now, "in force" if in_force else "No override is in force.", json=json)


def _put_in_force(chosen: Settings, override: "Override", now: float, *, json: bool) -> None:
    from orchestration.allocation.operators.override_checks import check
    from orchestration.allocation.operators.override_record import OverrideRecord

    check(chosen.fleet(), override, now=now)
    OverrideRecord.of(chosen.state).add(override, now=now)
    _show([override], now, "in force", json=json)


def _show(shown: Iterable["Override"], now: float, title: str, *, json: bool) -> None:
    from turntable.plans.pages import overrides_table

    if json:
        print_json(list(shown))
        return
    console().print(overrides_table(shown, now, title))

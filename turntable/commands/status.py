"""`turntable status`: what every part does now."""

import threading
from typing import Annotated

import typer
from rich.live import Live

from turntable.settings import console, print_json, settings

_REFRESH_S = 1.0


def status(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Print once and end.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON once and end.")] = False,
    window_s: Annotated[float, typer.Option(min=1, help="Traffic of the last seconds.")] = 30.0,
) -> None:
    """Show hosts, models, traffic and processes; on a terminal a live table until Ctrl-C."""
    from turntable.status.collect import collect
    from turntable.status.tables import as_tables
    from turntable.supervision.instance import running_instance

    chosen = settings(context)
    instance = running_instance(chosen.state)
    fleet = chosen.fleet()
    if json:
        print_json(collect(fleet, chosen.state, instance, window_s))
        return
    out = console()
    if once or not out.is_terminal:
        out.print(as_tables(collect(fleet, chosen.state, instance, window_s)))
        return
    pause = threading.Event()
    with Live(console=out, auto_refresh=False) as live:
        try:
            while True:
                live.update(
                    as_tables(collect(fleet, chosen.state, instance, window_s)), refresh=True
                )
                pause.wait(_REFRESH_S)
        except KeyboardInterrupt:
            return

"""`turntable up`: run an instance until it is told to stop."""

from typing import Annotated

import typer

from turntable.settings import console, print_json, settings


def up(
    context: typer.Context,
    json: Annotated[
        bool, typer.Option("--json", help="When ready, print one JSON object: where it is.")
    ] = False,
) -> None:
    """Start everything, say where it is, and stay until Ctrl-C.

    If an instance runs over the state folder already, says where and ends with exit code 0.
    """
    from turntable.supervision.display import Display
    from turntable.supervision.instance import AlreadyRunning, running_instance
    from turntable.supervision.lifecycle import Lifecycle, parts_of, signals_interrupt

    chosen = settings(context)
    display = Display(console(stderr=json))
    parts = parts_of(chosen.fleet(), chosen.fleet_file, chosen.state)
    lifecycle = Lifecycle(parts, chosen.state, display)
    try:
        with signals_interrupt(), lifecycle.running() as instance:
            if json:
                print_json(instance)
            else:
                display.ready(instance)
            lifecycle.watch()
    except AlreadyRunning:
        instance = running_instance(chosen.state)
        display.already_running(instance)
        if json:
            print_json(instance)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None

"""`turntable bench`: run a benchmark by name."""

from pathlib import Path
from typing import Annotated

import typer

from serving.config import StateFolder
from serving.errors import TurntableError
from turntable.settings import FAILED, settings


class WouldDisturb(TurntableError):
    """An instance runs that would share the machine with the benchmark."""


def bench(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="Which: loop (the whole loop), swap (hotswaps), coserve (both classes), "
            "batch (files), reaction (to bursts), failover (of killed hosts), calibrate (the "
            "simulator) or plan (the planner alone)."
        ),
    ],
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Write plots into this folder.")] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="coserve: ask these, JSON lines of a prompt set.")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(help="calibrate: send a slice of this Parquet file of requests.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 when a target is missed.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Measure beside a running instance.")
    ] = False,
) -> None:
    """Run a benchmark: compare its arms, print a table, report missed targets as missed.

    Starts its own instance on free ports. Refuses while an instance runs, unless forced: both would
    share the machine.
    """
    import benchmarks
    from benchmarks.registry import check_name
    from turntable.supervision.lifecycle import signals_interrupt

    check_name(name)
    chosen = settings(context)
    if not force:
        _refuse_beside_an_instance(chosen.state)
    with signals_interrupt():  # so that its servers are stopped
        result = benchmarks.run(
            name,
            json_path=json,
            plots_dir=plots,
            fleet_file=chosen.fleet_file,
            state=chosen.state,
            prompts=prompts,
            trace=trace,
        )
    if strict and any(row.met is False for row in result.rows):
        raise typer.Exit(FAILED)


def _refuse_beside_an_instance(state: StateFolder) -> None:
    from turntable.supervision.instance import NotRunning, running_instance

    try:
        instance = running_instance(state)
    except NotRunning:
        return
    raise WouldDisturb(
        f"Turntable runs at {instance.gateway} and would share the machine with the benchmark",
        where=instance.state,
        fix="Stop it with: turntable stop. Or measure all the same with: --force",
    )

"""`turntable demo`: prove the loop from outside."""

from typing import Annotated

import typer

from turntable.settings import FAILED, settings


def demo(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the whole loop at work, and check it: answer, swap, batch, failover.

    Uses the running instance, or starts one and stops it at the end. Exits 1 unless everything
    was observed.
    """
    from turntable.demo.show import run_demo

    if not run_demo(settings(context), as_json=json):
        raise typer.Exit(FAILED)

"""`turntable bench`: run a benchmark by name."""

from pathlib import Path
from typing import Annotated

import typer

from turntable.settings import FAILED


def bench(
    name: Annotated[str, typer.Argument(help="Which benchmark; `loop` is the whole loop.")],
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Write plots into this folder.")] = None,
    strict: Annotated[bool, typer.Option(help="Exit 1 when a target is missed.")] = False,
) -> None:
    """Run a benchmark: compare its arms, print a table, report missed targets as missed."""
    import benchmarks

    result = benchmarks.run(name, json_path=json, plots_dir=plots)
    if strict and any(row.met is False for row in result.rows):
        raise typer.Exit(FAILED)

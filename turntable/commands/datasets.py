"""`turntable datasets`: the declared datasets, and whether their files can be used."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from turntable.settings import USAGE, console, print_json, settings

if TYPE_CHECKING:
    from orchestration.datasets.loading import LoadedDataset, RefusedDataset


def datasets(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check every dataset file and list what it declares; exit 2 if one cannot be used.

    Needs no running instance.
    """
    from orchestration.datasets.loading import load_datasets

    chosen = settings(context)
    found = load_datasets(chosen.fleet(), chosen.state)
    rows = [*map(_usable, found.usable), *map(_refused, found.refused)]
    if json:
        print_json(rows)
    else:
        console().print(_table(rows))
    for refused in found.refused:
        error = refused.error
        console(stderr=True).print(
            f"[bold red]{refused.name}[/]  {escape(error.what)}\n"
            f"  [dim]where[/]  {escape(error.where)}\n    [dim]fix[/]  {escape(error.fix)}"
        )
    if found.refused:
        raise typer.Exit(USAGE)


def _usable(dataset: "LoadedDataset") -> dict[str, Any]:
    declared = dataset.declared
    return {
        "name": dataset.name,
        "file": str(dataset.file),
        "source": declared.source.kind,
        "model": dataset.model,
        "partitions": declared.partitions.by,
        "schedule": None if declared.schedule is None else declared.schedule.cron,
        "usable": True,
    }


def _refused(dataset: "RefusedDataset") -> dict[str, Any]:
    unknown = dict.fromkeys(("source", "model", "partitions", "schedule"))
    return {"name": dataset.name, "file": str(dataset.file), **unknown, "usable": False}


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None)
    for heading in ("dataset", "source", "model", "partitions", "schedule", "file"):
        table.add_column(heading)
    for row in rows:
        state = "" if row["usable"] else " [red](cannot be used)[/]"
        known = (row[key] or "-" for key in ("source", "model", "partitions", "schedule"))
        table.add_row(row["name"] + state, *known, escape(row["file"]))
    return table

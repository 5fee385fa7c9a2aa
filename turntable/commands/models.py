"""`turntable models`: the model registry, and where each model is now."""

from typing import Annotated, Any

import typer
from rich.table import Table

from serving.config.fleet import source_in_words
from turntable.settings import console, print_json, settings


def models(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the registered models and, if an instance runs, their replicas."""
    from serving.weights import checkpoint_path
    from turntable.gateway import hosts_of

    chosen = settings(context)
    fleet = chosen.fleet()
    replicas = hosts_of(chosen)
    rows = [
        {
            "name": model.name,
            "source": source_in_words(model.source),
            "dtype": model.dtype,
            "max_model_len": model.max_model_len,
            "slots": model.slots,
            "interactive_cap": model.interactive_cap,
            "min_replicas": model.min_replicas,
            "max_replicas": model.max_replicas,
            "prepared": checkpoint_path(model, chosen.state).is_dir(),
            "replicas": None if replicas is None else replicas.get(model.name, []),
        }
        for model in fleet.models
    ]
    if json:
        print_json(rows)
    else:
        console().print(_table(rows))


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None)
    for heading in ("model", "source", "dtype", "context", "slots", "cap", "replicas", "on"):
        table.add_column(heading)
    for row in rows:
        where = row["replicas"]
        table.add_row(
            row["name"],
            row["source"] + ("" if row["prepared"] else " (not prepared)"),
            row["dtype"],
            str(row["max_model_len"]),
            str(row["slots"]),
            str(row["interactive_cap"]),
            f"{row['min_replicas']} to {row['max_replicas']}",
            "(not running)" if where is None else ", ".join(where) or "-",
        )
    return table

"""Showing a result to a person and writing it for a program."""

import json
import math
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figures import BenchmarkResult, Row

_VERDICTS = {True: "[green]met[/]", False: "[bold red]missed[/]", None: ""}


def show(result: BenchmarkResult, console: Console) -> None:
    """Print the table of figures and how many targets were missed."""
    table = Table(title=f"benchmark {result.bench}", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("target", justify="right")
    table.add_column("")
    for row in result.rows:
        target = "" if row.target is None else str(row.target)
        remark = row.impossible or _VERDICTS[row.met]
        table.add_row(row.figure, readable(row.value), row.unit, target, remark)
    console.print(table)
    console.print(verdict(result.rows))


def verdict(rows: list[Row]) -> str:
    """One sentence about the targets."""
    bound = [row for row in rows if row.met is not None]
    missed = [row.figure for row in bound if not row.met]
    if not bound:
        return "No figure has a target."
    if not missed:
        return f"{len(bound)} of {len(bound)} targets met."
    return f"Missed {len(missed)} of {len(bound)} targets: {', '.join(missed)}."


def readable(value: float) -> str:
    """Three significant digits, and no exponent for everyday sizes."""
    if math.isnan(value):
        return "no value"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def write_json(result: BenchmarkResult, path: Path) -> None:
    """Write the result whole: a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(result.as_json(), indent=2, allow_nan=False) + "\n")
    partial.rename(path)

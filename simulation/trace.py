"""Arrival traces: Parquet files of requests, checked and held as columns."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from simulation.errors import TraceUnusable

COLUMNS = {
    "arrival_s": pl.Float64,
    "model": pl.String,
    "input_tokens": pl.Int64,
    "output_tokens": pl.Int64,
    "class": pl.String,
}
"""What a trace has; further columns are left alone. A null class is interactive."""


@dataclass(frozen=True)
class Trace:
    """Requests in the order of their arrival; arrays of one length."""

    models: list[str]
    arrival_s: NDArray[np.float64]
    """Seconds from the start of the trace."""
    model: NDArray[np.int64]
    """Index into `models`."""
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    """At least 1."""
    batch: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.arrival_s)

    @property
    def duration_s(self) -> float:
        """When the last request arrives."""
        return float(self.arrival_s[-1]) if len(self) else 0.0


def read_trace(path: Path) -> Trace:
    """Read a trace. Raises TraceUnusable, which names what is wrong and where."""
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise TraceUnusable(
            f"not a readable Parquet file: {error}", where=str(path), fix="Name another file."
        ) from error
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise TraceUnusable(
            f"it has no column {', '.join(missing)}",
            where=str(path),
            fix=f"A trace has the columns {', '.join(COLUMNS)}.",
        )
    return trace_of(_checked(frame, path))


def trace_of(frame: pl.DataFrame) -> Trace:
    """A trace from a frame with the columns of `COLUMNS`."""
    ordered = frame.sort("arrival_s", maintain_order=True)
    models = ordered["model"].unique().sort().to_list()
    numbers = {name: number for number, name in enumerate(models)}
    return Trace(
        models=models,
        arrival_s=ordered["arrival_s"].to_numpy().astype(np.float64),
        model=np.array([numbers[name] for name in ordered["model"]], dtype=np.int64),
        input_tokens=ordered["input_tokens"].to_numpy().astype(np.int64),
        output_tokens=np.maximum(1, ordered["output_tokens"].to_numpy().astype(np.int64)),
        batch=(ordered["class"].fill_null("interactive") == "batch").to_numpy(),
    )


def _checked(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    try:
        typed = frame.select(pl.col(name).cast(kind) for name, kind in COLUMNS.items())
    except pl.exceptions.PolarsError as error:
        raise TraceUnusable(
            f"a column has another type: {error}", where=str(path), fix="Mend the file."
        ) from error
    wrong = typed.filter(
        pl.any_horizontal(pl.col("arrival_s", "model", "input_tokens", "output_tokens").is_null())
        | (pl.col("arrival_s") < 0)
        | (pl.col("input_tokens") < 0)
        | (pl.col("output_tokens") < 0)
        | ~pl.col("class").fill_null("interactive").is_in(["interactive", "batch"])
    )
    if wrong.height:
        raise TraceUnusable(
            f"{wrong.height} of {typed.height} rows are unusable, the first is {wrong.row(0)}",
            where=str(path),
            fix="Times and token counts are at least 0, a class is interactive, batch or null.",
        )
    return typed

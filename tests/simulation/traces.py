"""Small traces made in the test."""

import polars as pl

from simulation.trace import COLUMNS, Trace, trace_of

Row = tuple[float, str, int, int]


def trace(*rows: Row, request_class: str | None = None) -> Trace:
    """(arrival_s, model, input_tokens, output_tokens) rows as a trace."""
    return trace_of(frame(*rows, request_class=request_class))


def frame(*rows: Row, request_class: str | None = None) -> pl.DataFrame:
    """The same as a frame, as a trace file holds it."""
    return pl.DataFrame([(*row, request_class) for row in rows], schema=dict(COLUMNS), orient="row")

"""What the page of a dataset's run shows of its end; the rest is as on the pages of batches."""

from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from orchestration import tables
from orchestration.assets.batch_pages import run_metadata
from orchestration.batch.disturbance import Disturbance
from orchestration.batch.results import cut

if TYPE_CHECKING:
    from orchestration.datasets.answering import Answered

UNIT = "rows"
SAMPLE_ROWS = 5


def answered_metadata(answered: "Answered", seen: Disturbance | None) -> dict[str, Any]:
    """What a run did, with its picture."""
    figures = answered.course.figures
    errors = figures.failed + answered.refused
    return {
        "dagster/row_count": answered.rows,
        "answered": answered.rows - errors,
        "errors": errors,
        "prompt tokens": figures.tokens.prompt,
        "of these cached": figures.tokens.cached,
        "completion tokens": figures.tokens.completion,
        **run_metadata(answered.course, seen, UNIT),
    }


def sample(frame: pl.DataFrame) -> dg.MetadataValue:
    """The first rows, their texts cut to what a table shows."""
    rows = frame.head(SAMPLE_ROWS).iter_rows(named=True)
    shown = ({name: _shown(value) for name, value in row.items()} for row in rows)
    return tables.table(shown, frame.columns)


def _shown(value: Any) -> Any:
    return cut(value) if isinstance(value, str) else value

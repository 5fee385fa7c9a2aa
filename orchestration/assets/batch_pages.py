"""What the pages of batch work show: progress as it goes, the run at its end, files and samples.

Runs of datasets show the first two too; they call their lines rows.
"""

import base64
from typing import TYPE_CHECKING, Any

import dagster as dg

from orchestration import tables
from orchestration.batch.disturbance import Disturbance
from orchestration.batch.plots import draw
from orchestration.batch.progress import Course, Figures
from orchestration.batch.results import sample
from orchestration.batch.submitted import result_path
from orchestration.batch.words import duration
from serving.batches import BatchRecord, Usage
from serving.config import StateFolder

if TYPE_CHECKING:
    from orchestration.batch.answering import Answered

SAMPLE_COLUMNS = ["custom_id", "said"]


def progress_metadata(
    figures: Figures, seen: Disturbance | None, unit: str = "lines"
) -> dict[str, Any]:
    """How far a run is."""
    left_s = figures.left_s
    return {
        unit: figures.rows,
        "done": figures.done,
        "errors": figures.failed,
        f"{unit}/s": round(figures.rows_per_s, 3),
        "output tokens/s": round(figures.tokens_per_s, 1),
        "estimated to end in": "unknown" if left_s is None else duration(left_s),
        "open requests": f"{figures.open} of {figures.window}",
        "waits for": figures.waits_for or "nothing",
        **disturbance_metadata(seen),
    }


def run_metadata(
    course: "Answered | Course", seen: Disturbance | None, unit: str = "lines"
) -> dict[str, Any]:
    """What a run did, with its picture."""
    figures = course.figures
    asked = figures.done - figures.done_before
    page: dict[str, Any] = {
        f"{unit} done by this run": asked,
        f"{unit} done before": figures.done_before,
        "seconds": round(figures.seconds, 1),
        f"mean {unit}/s": round(asked / figures.seconds, 3) if figures.seconds else 0.0,
        **disturbance_metadata(seen),
    }
    if len(course.curve) > 1:
        picture = base64.b64encode(draw(course.curve, figures.rows, unit)).decode()
        page["picture"] = dg.MetadataValue.md(f"![over time](data:image/png;base64,{picture})")
    return page


def outcome_metadata(record: BatchRecord, state: StateFolder) -> dict[str, Any]:
    """What became of a batch that has ended."""
    output = result_path(state, record.output_file_id)
    errors = result_path(state, record.error_file_id)
    usage = record.usage or Usage()
    page: dict[str, Any] = {
        "dagster/row_count": record.lines,
        "status": record.status,
        "answered": record.completed,
        "errors": record.failed,
        "prompt tokens": usage.input_tokens,
        "of these cached": usage.cached_tokens,
        "completion tokens": usage.output_tokens,
        "sample": tables.table(sample(output), SAMPLE_COLUMNS),
        "sample of errors": tables.table(sample(errors), SAMPLE_COLUMNS),
    }
    for name, path in (("output file", output), ("error file", errors)):
        if path is not None:
            page[name] = dg.MetadataValue.path(str(path))
    return page


def disturbance_metadata(seen: Disturbance | None) -> dict[str, Any]:
    """Evictions and what they cost, as far as the store knows."""
    if seen is None:
        return {"evictions": "unknown: the traffic store is away"}
    return {
        "evictions": seen.evictions,
        "held, seconds": round(seen.held_s, 1),
        "tokens recomputed": seen.recomputed_tokens,
        "tokens saved from being recomputed": seen.saved_tokens,
    }

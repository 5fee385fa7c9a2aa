"""Which batch runs may not wait behind others for a place in the queue. Pure.

The queue starts runs of batches and datasets in the order in which they must begin, a few at once.
When these last for hours, one that must begin sooner would wait all the same: it is given one of
the places that are kept for such runs (`dagster_home/dagster.yaml`). So is one that only ends a
batch, because it was cancelled or all its lines are done.
"""

from collections.abc import Sequence

import msgspec

PRESSING_PLACES = 4
"""Kept for pressing runs."""
PATIENCE_S = 2.0
"""So long a run waits for a place of the others first: mostly there is one."""
MARGIN_S = 1800.0
"""Before it must begin, a run is pressing."""


class QueuedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run of a batch or dataset that waits in the queue."""

    run_id: str
    waited_s: float
    begin_by: float | None
    """Unix seconds at which it must begin to be in time; None: whenever."""
    only_ends: bool = False
    """Its batch was cancelled, or only its files are to be written."""


def begin_by(due_at: float, expected_s: float | None) -> float:
    """When what takes `expected_s` must begin to be done by `due_at`."""
    return due_at - (expected_s or 0.0)


def priority_of(begin_by: float) -> str:
    """Dagster's priority of a run that must begin by then: the sooner, the higher."""
    return str(-int(begin_by))


def begin_by_of(priority: str | None) -> float | None:
    """What a priority says; None if it is none of ours."""
    if priority is None or not priority.removeprefix("-").isdigit():
        return None
    return float(-int(priority)) if int(priority) < 0 else None


def to_hurry(queued: Sequence[QueuedRun], *, pressing: int, now: float) -> list[str]:
    """Runs that are given a place kept for pressing ones, of which `pressing` are taken."""
    wanted = [run for run in queued if run.waited_s >= PATIENCE_S and _is_pressing(run, now)]
    wanted.sort(key=lambda run: (not run.only_ends, run.begin_by or now))
    return [run.run_id for run in wanted[: max(0, PRESSING_PLACES - pressing)]]


def _is_pressing(run: QueuedRun, now: float) -> bool:
    return run.only_ends or (run.begin_by is not None and run.begin_by - now < MARGIN_S)

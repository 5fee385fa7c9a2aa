"""Moves pressing batch runs that wait in Dagster's queue to the places kept for them.

Which those are, `batch.pressing` decides.
"""

import time
from collections.abc import Iterable, Sequence

import dagster as dg

from orchestration.batch.pressing import QueuedRun, begin_by_of, to_hurry
from orchestration.names import BATCH_TAGS, PARTITION_TAG, PRESSING_BATCH_TAGS
from orchestration.run_coordinator import PRIORITY_TAG, RUN_KIND_TAG
from serving.batches import BatchRecord

_ENDING = frozenset({"cancelling", "finalizing"})


def hurry(
    instance: dg.DagsterInstance, runs: Sequence[dg.RunRecord], batches: Iterable[BatchRecord]
) -> None:
    """Of `runs`, those under way, let the ones that may wait no longer start at once."""
    ending = {record.id for record in batches if record.status in _ENDING}
    now = time.time()
    queued = {
        record.dagster_run.run_id: record for record in runs if _is(record, BATCH_TAGS, queued=True)
    }
    for run_id in to_hurry(
        [_queued_run(record, ending, now) for record in queued.values()],
        pressing=sum(_is(record, PRESSING_BATCH_TAGS) for record in runs),
        now=now,
    ):
        instance.add_run_tags(run_id, PRESSING_BATCH_TAGS)
        instance.report_engine_event(
            "This run may wait no longer: it is given a place kept for pressing runs.",
            queued[run_id].dagster_run,
        )


def _is(record: dg.RunRecord, kind: dict[str, str], *, queued: bool = False) -> bool:
    run = record.dagster_run
    if queued and run.status != dg.DagsterRunStatus.QUEUED:
        return False
    return run.tags.get(RUN_KIND_TAG) == kind[RUN_KIND_TAG]


def _queued_run(record: dg.RunRecord, ending: set[str], now: float) -> QueuedRun:
    run = record.dagster_run
    return QueuedRun(
        run_id=run.run_id,
        waited_s=now - record.create_timestamp.timestamp(),
        begin_by=begin_by_of(run.tags.get(PRIORITY_TAG)),
        only_ends=run.tags.get(PARTITION_TAG) in ending,
    )

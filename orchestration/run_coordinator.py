"""The run coordinator: allocation runs start at once, everything else waits its turn.

Batch runs wait in the order in which they must begin (`batch.pressing`).

Named in `dagster_home/dagster.yaml`, so it is imported by the webserver and the daemon too: it
knows nothing of the fleet.
"""

import time

from dagster import DagsterRunStatus, QueuedRunCoordinator
from dagster._core.run_coordinator.base import SubmitRunContext
from dagster._core.storage.dagster_run import DagsterRun

from orchestration.batch.pressing import begin_by, priority_of

RUN_KIND_TAG = "turntable/kind"
"""Tag that says what a run is for; the queue's limits are set by it."""

ALLOCATION = "allocation"
BATCH = "batch"
PRESSING_BATCH = "pressing_batch"
"""Of batch runs that must not wait behind the others: they have places of their own."""
PRIORITY_TAG = "dagster/priority"
"""Dagster's own: what in the queue goes first."""
UNHURRIED_S = 24 * 3600.0
"""In the queue, a batch run without a time for its begin is as one that must begin so late."""


class AllocationFirstRunCoordinator(QueuedRunCoordinator):
    """Launch runs tagged as allocation runs when they are submitted; queue the others.

    A queued run starts when the daemon next looks at the queue, seconds later, and only below
    the limits. Neither may happen to an allocation run: requests are waiting for it.
    """

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Launch an allocation run that was not started yet, else do as the queue does."""
        run = context.dagster_run
        is_new, kind = run.status == DagsterRunStatus.NOT_STARTED, run.tags.get(RUN_KIND_TAG)
        if is_new and kind == BATCH and PRIORITY_TAG not in run.tags:
            priority = priority_of(begin_by(time.time() + UNHURRIED_S, None))
            self._instance.add_run_tags(run.run_id, {PRIORITY_TAG: priority})
        if not (is_new and kind == ALLOCATION):
            return super().submit_run(context)
        self._instance.launch_run(run.run_id, context.workspace)
        launched = self._instance.get_run_by_id(run.run_id)
        if launched is None:
            raise LookupError(f"run {run.run_id} is gone from the run storage after its launch")
        return launched

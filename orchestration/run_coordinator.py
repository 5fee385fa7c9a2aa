"""The run coordinator: allocation runs start at once, everything else waits its turn.

Named in `dagster_home/dagster.yaml`, so it is imported by the webserver and the daemon too: it
knows nothing of the fleet.
"""

from dagster import DagsterRunStatus, QueuedRunCoordinator
from dagster._core.run_coordinator.base import SubmitRunContext
from dagster._core.storage.dagster_run import DagsterRun

RUN_KIND_TAG = "turntable/kind"
"""Tag that says what a run is for; the queue's limits are set by it."""

ALLOCATION = "allocation"
BATCH = "batch"


class AllocationFirstRunCoordinator(QueuedRunCoordinator):
    """Launch runs tagged as allocation runs when they are submitted; queue the others.

    A queued run starts when the daemon next looks at the queue, seconds later, and only below
    the limits. Neither may happen to an allocation run: requests are waiting for it.
    """

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Launch an allocation run that was not started yet, else do as the queue does."""
        run = context.dagster_run
        is_new = run.status == DagsterRunStatus.NOT_STARTED
        if not (is_new and run.tags.get(RUN_KIND_TAG) == ALLOCATION):
            return super().submit_run(context)
        self._instance.launch_run(run.run_id, context.workspace)
        launched = self._instance.get_run_by_id(run.run_id)
        if launched is None:
            raise LookupError(f"run {run.run_id} is gone from the run storage after its launch")
        return launched

"""The run launcher: Dagster's own, which can also say whether the process of a run is there.

The code server reports a run whose process ended. A run of a code server that died itself, with the
machine or alone, would be called started for ever, hold a place of the queue and keep the next run
of its partition from being asked for. So the server that is there now is asked whether it knows the
run.

Named in `dagster_home/dagster.yaml`, so it is imported by the webserver and the daemon too: it
knows nothing of the fleet.
"""

from dagster import DagsterRun, DefaultRunLauncher
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

ANSWER_S = 10


class WatchingRunLauncher(DefaultRunLauncher):
    """Launches as Dagster does; tells Dagster's monitoring of runs that nobody runs any more."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Monitoring asks."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the code server knows the run; while there is none, nothing is known."""
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "it has no code server, or has ended")
        request = CanCancelExecutionRequest(run_id=run.run_id)
        try:
            reply = client.can_cancel_execution(request, timeout=ANSWER_S)
        except DagsterUserCodeUnreachableError:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "the code server is away")
        if deserialize_value(reply, CanCancelExecutionResult).can_cancel:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its process is gone")

"""What the run launcher tells Dagster's monitoring of a run's process."""

import json
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import serialize_value

from orchestration.installation import Installation
from orchestration.run_launcher import WatchingRunLauncher
from tests.orchestration.code_servers import code_server


def a_started_run(instance: dg.DagsterInstance, socket: str) -> dg.DagsterRun:
    """A run that was launched on the server at `socket`."""
    return instance.create_run_for_job(
        dg.job(name="some")(lambda: None),
        tags={GRPC_INFO_TAG: json.dumps({"host": "localhost", "socket": socket})},
        status=dg.DagsterRunStatus.STARTED,
    )


def health(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WorkerStatus:
    launcher = WatchingRunLauncher()
    launcher.register_instance(instance)
    return launcher.check_run_worker_health(run).status


def test_a_run_that_the_code_server_does_not_know_is_gone(
    installation: Installation, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TURNTABLE_FLEET", installation.fleet_file)
    monkeypatch.setenv("TURNTABLE_STATE", installation.state_folder)
    with code_server() as origin:
        run = a_started_run(instance, origin.socket or "")
        assert health(instance, run) == WorkerStatus.NOT_FOUND


def test_nothing_is_known_of_a_run_while_the_code_server_is_away(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    run = a_started_run(instance, str(tmp_path / "nobody"))

    assert health(instance, run) == WorkerStatus.RUNNING


def test_a_run_that_the_code_server_knows_runs(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = a_started_run(instance, str(tmp_path / "server"))

    class Client:
        def can_cancel_execution(self, request: CanCancelExecutionRequest, timeout: int) -> str:
            return serialize_value(
                CanCancelExecutionResult(can_cancel=request.run_id == run.run_id)
            )

    monkeypatch.setattr("dagster._grpc.client.DagsterGrpcClient", lambda **_: Client())
    assert health(instance, run) == WorkerStatus.RUNNING

"""The code server: what it forks has nothing left to import."""

import inspect
import subprocess
import sys

import dagster._daemon.sensor
from dagster._grpc.server import DagsterApiServer


def test_a_forked_run_finds_everything_imported() -> None:
    program = [sys.executable, "-m", "tests.orchestration.warm_child"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=180, check=True)
    assert done.stdout.strip() == "[]"


def test_dagsters_server_starts_runs_by_the_context_that_is_replaced() -> None:
    start_run = inspect.unwrap(DagsterApiServer.StartRun)
    assert "_mp_ctx" in start_run.__code__.co_names


def test_dagsters_daemon_still_has_the_interval_that_ours_shortens() -> None:
    assert dagster._daemon.sensor.MIN_INTERVAL_LOOP_TIME == 5

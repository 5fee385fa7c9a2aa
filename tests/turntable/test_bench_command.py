"""`turntable bench` beside a running instance, with strict targets, with a wrong name."""

import time
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

import benchmarks
from benchmarks.figures import BenchmarkResult, Row, Target
from serving.config import StateFolder, load_fleet
from turntable.cli import app
from turntable.commands.bench import WouldDisturb
from turntable.supervision.instance import describe, write_record

FLEET = Path(__file__).parents[2] / "config" / "fleet.yaml"


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / "state")


@pytest.fixture
def missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark that runs and misses its target."""
    row = Row("start", 2.0, "s", Target("<=", 1))
    result = BenchmarkResult("loop", {}, {}, [row])
    monkeypatch.setattr(benchmarks, "run", lambda *_arguments, **_more: result)


def run(state: StateFolder, *arguments: str) -> Result:
    command = ["--fleet", str(FLEET), "--state", str(state.root), "bench", *arguments]
    return CliRunner().invoke(app, command)


@pytest.mark.usefixtures("missed")
def test_a_missed_target_is_a_failure_only_when_strict(state: StateFolder) -> None:
    assert run(state, "loop").exit_code == 0
    assert run(state, "loop", "--strict").exit_code == 1


@pytest.mark.usefixtures("missed")
def test_a_running_instance_is_not_measured_beside_unless_forced(state: StateFolder) -> None:
    instance = describe(load_fleet(FLEET), FLEET, state, time.time())
    write_record(instance, state)
    refused = run(state, "loop")
    assert isinstance(refused.exception, WouldDisturb)
    assert run(state, "loop", "--force").exit_code == 0
    assert isinstance(run(state, "no-such").exception, benchmarks.BenchmarkUnable)


def test_a_benchmark_that_cannot_run_does_not_exit_zero(state: StateFolder) -> None:
    refused = run(state, "no-such")
    assert isinstance(refused.exception, benchmarks.BenchmarkUnable)
    assert refused.exit_code != 0

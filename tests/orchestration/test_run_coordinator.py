"""Which runs start at once, and which wait in the queue."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.events import RunFailureReason
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.run_coordinator.base import SubmitRunContext
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.run_coordinator import QueuedRunCoordinatorDaemon
from msgspec.structs import replace

from orchestration.batch.pressing import PATIENCE_S, PRESSING_PLACES, priority_of
from orchestration.datasets.scheduling import AFTER_DEATHS
from orchestration.names import ALLOCATION_TAGS, BATCH_TAGS, PARTITION_TAG
from orchestration.pressing_runs import hurry
from orchestration.run_coordinator import (
    BATCH,
    PRESSING_BATCH,
    PRIORITY_TAG,
    RUN_KIND_TAG,
    UNHURRIED_S,
    AllocationFirstRunCoordinator,
)
from tests.orchestration.test_batch_attempts import OPEN

PATIENCE = timedelta(seconds=PATIENCE_S)
HOME = Path(__file__).parents[2] / "dagster_home"


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The shipped configuration, but for a launcher that only notes what it is to launch."""
    home = tmp_path / "home"
    home.mkdir()
    shipped = (HOME / "dagster.yaml").read_text()
    noting = "run_launcher:\n  module: dagster._core.test_utils\n  class: MockedRunLauncher\n"
    stock = "run_launcher:\n  module: orchestration.run_launcher\n  class: WatchingRunLauncher\n"
    assert stock in shipped
    (home / "dagster.yaml").write_text(shipped.replace(stock, noting))
    monkeypatch.setenv("TURNTABLE_DAGSTER_STORAGE", str(tmp_path / "storage"))
    with dg.DagsterInstance.from_config(str(home)) as configured:
        yield configured


def submit(instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.DagsterRun:
    return submit_again(instance, create(instance, tags))


def create(
    instance: dg.DagsterInstance,
    tags: dict[str, str],
    status: dg.DagsterRunStatus = dg.DagsterRunStatus.NOT_STARTED,
) -> dg.DagsterRun:
    code = GrpcServerCodeLocationOrigin(host="127.0.0.1", port=1, location_name="turntable")
    return create_run_for_test(
        instance,
        job_name="a_job",
        tags=tags,
        status=status,
        remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(code, "__repository__"), "a_job"),
    )


def submit_again(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    context = SubmitRunContext(run, workspace=None)  # type: ignore[arg-type]
    return instance.run_coordinator.submit_run(context)


def launched(instance: dg.DagsterInstance) -> list[str]:
    return [run.run_id for run in instance.run_launcher.queue()]  # type: ignore[attr-defined]


def dequeued(instance: dg.DagsterInstance) -> list[str]:
    """What the daemon would start now."""
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
    config = instance.get_concurrency_config()
    runs = daemon._get_runs_to_dequeue(instance, config, fixed_iteration_time=None)
    return [run.run_id for run in runs]


def test_the_shipped_configuration_uses_it_and_dagster_takes_it_for_a_queue(
    instance: dg.DagsterInstance,
) -> None:
    assert isinstance(instance.run_coordinator, AllocationFirstRunCoordinator)
    assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
    assert "QUEUED_RUN_COORDINATOR" in instance.get_required_daemon_types()


def test_an_allocation_run_is_launched_when_it_is_submitted(instance: dg.DagsterInstance) -> None:
    run = submit(instance, ALLOCATION_TAGS)

    assert launched(instance) == [run.run_id]
    assert run.status == dg.DagsterRunStatus.STARTING


def test_other_runs_wait_in_the_queue_those_of_batches_behind_the_rest(
    instance: dg.DagsterInstance,
) -> None:
    batch, other = submit(instance, BATCH_TAGS), submit(instance, {})

    assert launched(instance) == []
    assert {batch.status, other.status} == {dg.DagsterRunStatus.QUEUED}
    assert dequeued(instance) == [other.run_id, batch.run_id]


def test_an_allocation_run_starts_whatever_else_is_queued_or_running(
    instance: dg.DagsterInstance,
) -> None:
    for _ in range(6):
        create(instance, BATCH_TAGS, dg.DagsterRunStatus.STARTED)
        submit(instance, BATCH_TAGS)

    run = submit(instance, ALLOCATION_TAGS)

    assert launched(instance) == [run.run_id]


def shipped_limit(kind: str) -> int:
    """How many runs of the kind go on at once."""
    shipped = yaml.safe_load((HOME / "dagster.yaml").read_text())["run_coordinator"]["config"]
    (limit,) = (
        int(each["limit"]) for each in shipped["tag_concurrency_limits"] if each["value"] == kind
    )
    assert limit < shipped["max_concurrent_runs"]
    return limit


def test_batch_runs_are_started_up_to_their_limit(instance: dg.DagsterInstance) -> None:
    limit = shipped_limit(BATCH)
    runs = [submit(instance, BATCH_TAGS).run_id for _ in range(limit + 1)]

    assert dequeued(instance) == runs[:limit]


def to_begin_in(left_s: float) -> dict[str, str]:
    return {**BATCH_TAGS, PRIORITY_TAG: priority_of(time.time() + left_s)}


def test_batch_runs_are_started_in_the_order_in_which_they_must_begin(
    instance: dg.DagsterInstance,
) -> None:
    whenever = submit(instance, BATCH_TAGS)
    long, later, soon = (
        submit(instance, to_begin_in(left_s)) for left_s in (2 * UNHURRIED_S, 50_000.0, 600.0)
    )

    assert dequeued(instance) == [run.run_id for run in (soon, later, whenever, long)]


def hurried(instance: dg.DagsterInstance, *ending: str) -> None:
    """The queue once pressing runs were looked for, when all have waited for long enough."""
    queued = instance.get_run_records()
    patient = [
        record._replace(create_timestamp=record.create_timestamp - PATIENCE) for record in queued
    ]
    hurry(instance, patient, [replace(OPEN, id=name, status="cancelling") for name in ending])


def test_runs_that_may_wait_no_longer_start_beside_as_many_others_as_may_run(
    instance: dg.DagsterInstance,
) -> None:
    for _ in range(shipped_limit(BATCH)):
        create(instance, BATCH_TAGS, dg.DagsterRunStatus.STARTED)
    submit(instance, to_begin_in(50_000.0))
    cancelled = submit(instance, {**to_begin_in(50_000.0), PARTITION_TAG: "batch_1"})
    soon = [submit(instance, to_begin_in(600.0 + n)) for n in range(PRESSING_PLACES)]
    assert dequeued(instance) == []

    hurried(instance, "batch_1")
    hurried(instance, "batch_1")

    pressing = [cancelled.run_id, *(run.run_id for run in soon)][:PRESSING_PLACES]
    assert sorted(dequeued(instance)) == sorted(pressing)
    events = instance.all_logs(cancelled.run_id)
    assert any("may wait no longer" in event.message for event in events)


def test_as_many_places_are_kept_for_pressing_runs_as_are_given() -> None:
    assert shipped_limit(PRESSING_BATCH) == PRESSING_PLACES


def test_a_run_already_submitted_is_not_launched_again(instance: dg.DagsterInstance) -> None:
    run = submit(instance, ALLOCATION_TAGS)

    submit_again(instance, run)

    assert launched(instance) == [run.run_id]
    assert RUN_KIND_TAG in run.tags


@pytest.mark.parametrize(
    ("tags", "reason", "again"),
    [
        (AFTER_DEATHS, None, True),
        (AFTER_DEATHS, RunFailureReason.STEP_FAILURE, False),
        ({}, None, False),
    ],
)
def test_a_run_is_done_again_if_its_job_says_so_and_its_process_died(
    instance: dg.DagsterInstance,
    tags: dict[str, str],
    reason: RunFailureReason | None,
    again: bool,
) -> None:
    run = create(instance, tags, dg.DagsterRunStatus.FAILURE)

    assert auto_reexecution_should_retry_run(instance, run, reason) == again

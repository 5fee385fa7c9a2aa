"""Batches of the Batch API as Dagster sees them: the asset, its job and its sensor."""

import json
import multiprocessing
import os
import signal
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from orchestration.assets.batches import PARTITIONS_NAME, batches_assets, batches_job
from orchestration.batch.answering import answer
from orchestration.batch.asking import Terms
from orchestration.batch.claim import claimed, is_claimed
from orchestration.batch.submitted import result_path, submitted
from orchestration.batch_sensor import DONE_TAG, batch_sensor
from orchestration.forgotten_batches import forgotten_batches
from orchestration.installation import Installation
from serving.batches import BatchRecord, CancelAsked, Catalog, FileStore, Sweep, Swept
from serving.config import StateFolder
from tests.fakes.host import wait_until
from tests.orchestration.declaring import an_installation
from tests.orchestration.gateway import FakeGateway
from tests.orchestration.submitting import look, submit


@pytest.fixture
def state(installation: Installation) -> StateFolder:
    return installation.state


def definitions(installation: Installation) -> dg.Definitions:
    """Those of batches alone, which load faster than all."""
    job = batches_job()
    return dg.Definitions(
        assets=batches_assets(installation.fleet),
        jobs=[job],
        sensors=[batch_sensor(job), forgotten_batches()],
        resources={"installation": installation},
    )


def run(installation: Installation, instance: dg.DagsterInstance, batch_id: str) -> Any:
    instance.add_dynamic_partitions(PARTITIONS_NAME, [batch_id])
    job = definitions(installation).resolve_job_def("answer_batch")
    return job.execute_in_process(instance=instance, partition_key=batch_id, raise_on_error=False)


def page(result: Any) -> dict[str, Any]:
    (event,) = result.get_asset_materialization_events()
    return {name: entry.value for name, entry in event.materialization.metadata.items()}


def tick(installation: Installation, instance: dg.DagsterInstance, tick_s: float = 0.0) -> Any:
    """A tick of the batch sensor."""
    return evaluated(batch_sensor(batches_job(), tick_s=tick_s), installation, instance)


def evaluated(
    sensor: dg.SensorDefinition, installation: Installation, instance: dg.DagsterInstance
) -> Any:
    """A tick as the code server evaluates it, partitions looked up."""
    resources: dict[str, Any] = {"installation": installation}
    context = dg.SensorEvaluationContext(
        instance_ref=instance.get_ref(),
        last_tick_completion_time=None,
        last_run_key=None,
        cursor=None,
        repository_name=None,
        definitions=definitions(installation),
        resources=resources,
    )
    with context:
        return sensor.evaluate_tick(context)


def forget(installation: Installation, instance: dg.DagsterInstance) -> list[str]:
    """A tick of the sensor that removes partitions, carried out; what there was to remove."""
    result = evaluated(forgotten_batches(), installation, instance)
    requests = result.dynamic_partitions_requests or []
    keys = [key for request in requests for key in request.partition_keys]
    for key in keys:
        instance.delete_dynamic_partition(PARTITIONS_NAME, key)
    return keys


def records(state: StateFolder, file_id: str | None) -> dict[str, Any]:
    path = result_path(state, file_id)
    assert path is not None
    found = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert len({line["custom_id"] for line in found}) == len(found)
    return {line["custom_id"]: line for line in found}


def apply(state: StateFolder, record: BatchRecord, event: Any) -> BatchRecord:
    catalog = Catalog(state.batch_catalog)
    try:
        return catalog.apply(record.id, event)
    finally:
        catalog.close()


def a_run(
    instance: dg.DagsterInstance,
    record: BatchRecord,
    status: dg.DagsterRunStatus,
    done: int | None = None,
) -> dg.DagsterRun:
    tags = {"dagster/partition": record.id}
    if done is not None:
        tags[DONE_TAG] = str(done)
    job = dg.job(name="answer_batch")(lambda: None)
    return instance.create_run_for_job(job, tags=tags, status=status)


def test_a_batch_is_answered_line_by_line_in_input_order(
    installation: Installation, instance: dg.DagsterInstance, state: StateFolder
) -> None:
    batch = submit(state, 12)

    result = run(installation, instance, batch.id)

    ended = look(state, batch.id)
    assert (ended.status, ended.completed, ended.failed) == ("completed", 12, 0)
    assert ended.usage is not None
    assert ended.usage.total_tokens == 12 * 8
    assert ended.error_file_id is None
    lines = records(state, ended.output_file_id)
    assert list(lines) == [f"row-{n}" for n in range(12)]
    answer = lines["row-7"]["response"]["body"]["choices"][0]["message"]["content"]
    assert answer == "answer to question 7"
    (checked,) = result.get_asset_check_evaluations()
    assert checked.passed
    assert page(result)["lines done by this run"] == 12
    assert not list((state.root / "batch" / "work").glob(f"{batch.id}/*.jsonl"))


def test_lines_that_are_refused_stand_in_the_error_file(
    installation: Installation,
    instance: dg.DagsterInstance,
    state: StateFolder,
    gateway: FakeGateway,
) -> None:
    gateway.answers = {"question 1": [422]}
    batch = submit(state, 3)

    result = run(installation, instance, batch.id)

    ended = look(state, batch.id)
    assert (ended.status, ended.completed, ended.failed) == ("completed", 2, 1)
    assert records(state, ended.output_file_id).keys() == {"row-0", "row-2"}
    refused = records(state, ended.error_file_id)["row-1"]
    assert refused["response"]["status_code"] == 422
    assert page(result)["errors"] == 1


def test_a_batch_that_ended_is_shown_again_and_asks_for_nothing(
    installation: Installation,
    instance: dg.DagsterInstance,
    state: StateFolder,
    gateway: FakeGateway,
) -> None:
    batch = submit(state, 3)
    run(installation, instance, batch.id)
    before = look(state, batch.id)
    gateway.asked.clear()

    result = run(installation, instance, batch.id)

    assert gateway.asked == []
    assert page(result)["answered"] == 3
    assert look(state, batch.id) == before


def test_cancelling_in_the_api_reaches_the_lines_that_run(
    installation: Installation,
    instance: dg.DagsterInstance,
    state: StateFolder,
    gateway: FakeGateway,
) -> None:
    gateway.answers = {"question 2": ["hold"]}
    batch = submit(state, 3)

    def cancel_when_it_waits() -> None:
        wait_until(lambda: look(state, batch.id).completed == 2)
        apply(state, batch, CancelAsked())

    canceller = threading.Thread(target=cancel_when_it_waits)
    canceller.start()
    run(installation, instance, batch.id)
    canceller.join()

    ended = look(state, batch.id)
    assert (ended.status, ended.completed) == ("cancelled", 2)
    assert records(state, ended.output_file_id).keys() == {"row-0", "row-1"}
    assert records(state, ended.error_file_id)["row-2"]["error"]["code"] == "batch_cancelled"


def test_a_batch_whose_window_is_over_accounts_for_every_line(
    installation: Installation,
    instance: dg.DagsterInstance,
    state: StateFolder,
    gateway: FakeGateway,
) -> None:
    gateway.answers = {"question 1": ["hold"]}
    batch = submit(state, 2, window_s=2)

    result = run(installation, instance, batch.id)

    ended = look(state, batch.id)
    assert ended.status == "expired"
    assert records(state, ended.error_file_id)["row-1"]["error"]["code"] == "batch_expired"
    (checked,) = result.get_asset_check_evaluations()
    assert checked.passed


def test_terminating_the_run_cancels_the_batch(
    installation: Installation,
    instance: dg.DagsterInstance,
    state: StateFolder,
    gateway: FakeGateway,
) -> None:
    gateway.answers = {"question 2": ["hold"]}
    batch = submit(state, 3)

    def terminate_when_it_waits() -> None:
        wait_until(lambda: look(state, batch.id).completed == 2)
        (record,) = instance.get_run_records()
        instance.report_run_canceling(record.dagster_run)
        os.kill(os.getpid(), signal.SIGINT)

    terminator = threading.Thread(target=terminate_when_it_waits)
    terminator.start()
    result = run(installation, instance, batch.id)
    terminator.join()

    ended = look(state, batch.id)
    assert (ended.status, ended.completed) == ("cancelled", 2)
    assert records(state, ended.error_file_id).keys() == {"row-2"}
    found = instance.get_run_by_id(result.run_id)
    assert found is not None
    assert found.status == dg.DagsterRunStatus.CANCELED


def test_a_signal_without_a_person_leaves_the_batch_to_the_next_run(
    installation: Installation,
    instance: dg.DagsterInstance,
    state: StateFolder,
    gateway: FakeGateway,
) -> None:
    gateway.answers = {"question 2": ["hold"]}
    batch = submit(state, 3)

    def interrupt_when_it_waits() -> None:
        wait_until(lambda: look(state, batch.id).completed == 2)
        os.kill(os.getpid(), signal.SIGTERM)

    interrupter = threading.Thread(target=interrupt_when_it_waits)
    interrupter.start()
    result = run(installation, instance, batch.id)
    interrupter.join()

    assert not result.success
    assert look(state, batch.id).status == "in_progress"
    gateway.asked.clear()
    run(installation, instance, batch.id)
    assert gateway.texts() == ["question 2"]
    assert look(state, batch.id).status == "completed"


def _answer_until_killed(folder: Path, port: int, batch_id: str) -> None:
    """What the asset does, without the time that Dagster takes to start."""
    fleet, state = an_installation(folder, port).fleet, StateFolder(folder / "state")
    catalog = Catalog(state.batch_catalog)
    terms = Terms(base_url=f"http://127.0.0.1:{port}", api_key="key", name=batch_id)
    record = catalog.batch(batch_id)
    with submitted(state, catalog, record, "killed", retention_s=86_400) as work:
        answer(work, terms, {model.name: model for model in fleet.models}, lambda _: None)


def test_a_run_killed_in_the_middle_costs_only_what_was_in_flight(
    installation: Installation,
    instance: dg.DagsterInstance,
    state: StateFolder,
    gateway: FakeGateway,
    tmp_path: Path,
) -> None:
    gateway.answers = {"question 9": ["hold"]}
    batch = submit(state, 10)
    first = multiprocessing.get_context("spawn").Process(
        target=_answer_until_killed, args=(tmp_path, gateway.port, batch.id)
    )
    first.start()
    wait_until(lambda: look(state, batch.id).completed == 9 or not first.is_alive(), limit_s=120)
    assert is_claimed(state.batch_work(batch.id))
    first.kill()
    first.join()
    gateway.asked.clear()

    result = run(installation, instance, batch.id)

    assert gateway.texts() == ["question 9"]
    assert page(result)["lines done before"] == 9
    assert len(records(state, look(state, batch.id).output_file_id)) == 10


def test_a_batch_is_worked_on_by_one_run_at_a_time(
    installation: Installation, instance: dg.DagsterInstance, state: StateFolder
) -> None:
    batch = submit(state, 1)
    with claimed(state.batch_work(batch.id), "another run"):
        result = run(installation, instance, batch.id)

    failure = result.failure_data_for_node("batches")
    assert "another run works on this batch" in failure.user_failure_data.description
    assert look(state, batch.id).status == "in_progress"


def test_the_sensor_gives_a_validated_batch_a_partition_and_one_run(
    installation: Installation, instance: dg.DagsterInstance, state: StateFolder
) -> None:
    assert "no batch is open" in (tick(installation, instance).skip_message or "")
    submit(state, 1, validated=False)
    batch = submit(state, 1)

    asked = tick(installation, instance)

    (request,) = asked.run_requests or []
    assert request.partition_key == batch.id
    assert request.tags[DONE_TAG] == "0"
    (added,) = asked.dynamic_partitions_requests or []
    assert added.partition_keys == [batch.id]
    again = tick(installation, instance)
    assert [one.run_key for one in again.run_requests or []] == [request.run_key]
    a_run(instance, batch, dg.DagsterRunStatus.STARTING)
    assert "a run is under way" in (tick(installation, instance).skip_message or "")


def test_a_tick_waits_for_a_batch(
    installation: Installation, instance: dg.DagsterInstance, state: StateFolder
) -> None:
    Catalog(state.batch_catalog).close()
    submitting = threading.Timer(0.5, submit, args=(state, 1))
    submitting.start()

    (request,) = tick(installation, instance, tick_s=120).run_requests or []

    submitting.join()
    assert look(state, request.partition_key).status == "in_progress"


def test_a_run_that_died_is_followed_by_another(
    installation: Installation, instance: dg.DagsterInstance, state: StateFolder
) -> None:
    batch = submit(state, 1)
    first = tick(installation, instance).run_requests or []
    died = a_run(instance, batch, dg.DagsterRunStatus.FAILURE, done=0)

    (second,) = tick(installation, instance).run_requests or []

    assert second.run_key != first[0].run_key
    assert died.run_id in (second.run_key or "")


def test_a_tick_under_way_sees_that_a_run_died(
    installation: Installation, instance: dg.DagsterInstance, state: StateFolder
) -> None:
    batch = submit(state, 1)
    died = a_run(instance, batch, dg.DagsterRunStatus.STARTED, done=0)
    dying = threading.Timer(0.5, instance.report_run_failed, args=(died,))
    dying.start()

    (request,) = tick(installation, instance, tick_s=60).run_requests or []

    dying.join()
    assert died.run_id in (request.run_key or "")


def test_terminating_a_run_that_never_began_cancels_the_batch_too(
    installation: Installation, instance: dg.DagsterInstance, state: StateFolder
) -> None:
    batch = submit(state, 2)
    a_run(instance, batch, dg.DagsterRunStatus.CANCELED)

    assert tick(installation, instance).run_requests == []
    assert look(state, batch.id).status == "cancelling"

    (request,) = tick(installation, instance).run_requests or []
    assert request.partition_key == batch.id
    run(installation, instance, batch.id)
    ended = look(state, batch.id)
    assert ended.status == "cancelled"
    assert len(records(state, ended.error_file_id)) == 2


def test_a_batch_goes_with_its_files_and_its_partition_when_its_time_is_over(
    installation: Installation, instance: dg.DagsterInstance, state: StateFolder
) -> None:
    old, kept = submit(state, 2), submit(state, 2)
    run(installation, instance, old.id)
    output = look(state, old.id).output_file_id
    instance.add_dynamic_partitions(PARTITIONS_NAME, [kept.id])
    assert forget(installation, instance) == []

    swept = sweep_after(installation, installation.fleet.batches.retention_s + 3600)

    assert (swept.batches, swept.files) == (1, 1)
    assert result_path(state, output) is None
    assert forget(installation, instance) == [old.id]
    assert instance.get_dynamic_partitions(PARTITIONS_NAME) == [kept.id]
    assert forget(installation, instance) == []
    assert not run(installation, instance, old.id).success


def test_what_a_batch_wrote_says_until_when_it_is_kept(
    installation: Installation, instance: dg.DagsterInstance, state: StateFolder
) -> None:
    batch = submit(state, 1)
    run(installation, instance, batch.id)

    with closing(Catalog(state.batch_catalog)) as catalog:
        output = catalog.file(look(state, batch.id).output_file_id or "")

    assert output.expires_at == output.created_at + installation.fleet.batches.retention_s


def sweep_after(installation: Installation, seconds: float) -> Swept:
    """The gateway's sweep, so much later."""
    state = installation.state
    with closing(Catalog(state.batch_catalog, clock=lambda: time.time() + seconds)) as catalog:
        store = FileStore(state.batch_files, catalog, clock=lambda: time.time() + seconds)
        retention_s = installation.fleet.batches.retention_s
        return Sweep(catalog, store, state.batches_work, retention_s=retention_s).run()

"""Which runs and partitions Dagster's sensors ask for, batch by batch."""

import shutil
import threading
import time
from contextlib import closing
from typing import Any

import dagster as dg

from orchestration.assets.batches import PARTITIONS_NAME, batches_job
from orchestration.batch.asks import Outcome
from orchestration.batch.attempts import FRUITLESS_RUNS
from orchestration.batch.journal import Journal
from orchestration.batch.submitted import result_path
from orchestration.batch_sensor import DONE_TAG, batch_sensor
from orchestration.forgotten_batches import forgotten_batches
from orchestration.installation import Installation
from serving.batches import BatchRecord, Catalog, FileStore, Sweep, Swept
from serving.config import StateFolder
from tests.orchestration.batch_runs import definitions, records, run
from tests.orchestration.submitting import look, submit


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


def test_a_batch_that_runs_cannot_get_on_with_fails_with_what_was_done_before(
    installation: Installation, instance: dg.DagsterInstance, state: StateFolder
) -> None:
    batch = submit(state, 3)
    with Journal(state.batch_work(batch.id) / "shard-000.jsonl") as journal:
        journal.add(Outcome(key=1, custom_id="row-1", status=200))
    for _ in range(FRUITLESS_RUNS):
        a_run(instance, batch, dg.DagsterRunStatus.FAILURE, done=0)

    tick(installation, instance)

    ended = look(state, batch.id)
    assert (ended.status, [error.code for error in ended.errors]) == ("failed", ["runs_failed"])
    assert set(records(state, ended.output_file_id)) == {"row-1"}
    missing = records(state, ended.error_file_id)
    assert {name: line["error"]["code"] for name, line in missing.items()} == {
        "row-0": "runs_failed",
        "row-2": "runs_failed",
    }
    assert not list(state.batch_work(batch.id).iterdir())


def test_a_batch_whose_work_folder_is_gone_fails_all_the_same(
    installation: Installation, instance: dg.DagsterInstance, state: StateFolder
) -> None:
    batch = submit(state, 3)
    shutil.rmtree(state.batch_work(batch.id))
    for _ in range(FRUITLESS_RUNS):
        a_run(instance, batch, dg.DagsterRunStatus.FAILURE, done=0)

    tick(installation, instance)

    ended = look(state, batch.id)
    assert (ended.status, ended.output_file_id, ended.error_file_id) == ("failed", None, None)


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

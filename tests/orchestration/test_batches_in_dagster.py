"""Batches of the Batch API as runs of Dagster: what a run does, and how it ends."""

import multiprocessing
import os
import signal
import threading
from pathlib import Path
from typing import Any

import dagster as dg

from orchestration.batch.answering import answer
from orchestration.batch.asking import Terms
from orchestration.batch.claim import claimed, is_claimed
from orchestration.batch.submitted import submitted
from orchestration.installation import Installation
from serving.batches import BatchRecord, CancelAsked, Catalog
from serving.config import StateFolder
from tests.fakes.host import wait_until
from tests.orchestration.batch_runs import records, run
from tests.orchestration.declaring import an_installation
from tests.orchestration.gateway import FakeGateway
from tests.orchestration.submitting import look, submit


def page(result: Any) -> dict[str, Any]:
    (event,) = result.get_asset_materialization_events()
    return {name: entry.value for name, entry in event.materialization.metadata.items()}


def apply(state: StateFolder, record: BatchRecord, event: Any) -> BatchRecord:
    catalog = Catalog(state.batch_catalog)
    try:
        return catalog.apply(record.id, event)
    finally:
        catalog.close()


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

"""The batch assets, their job and schedule."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from orchestration.assembly import build_definitions
from orchestration.assets.batch import account_for_rows, completion_file, prompt_file
from orchestration.batch_schedule import GIVE_UP_AFTER, VERSION_TAG, batch_job, batch_schedule
from orchestration.installation import Installation
from orchestration.names import BATCH_TAGS, COMPLETIONS, PROMPTS
from tests.orchestration.building import a_fleet, a_model
from tests.orchestration.gateway import FakeGateway, fake_gateway

DAY = "2026-02-03"
AT = datetime(2026, 2, 3, 12, tzinfo=UTC)


@pytest.fixture
def instance() -> Any:
    with dg.instance_for_test() as temporary:
        yield temporary


@pytest.fixture
def gateway() -> Any:
    with fake_gateway() as running:
        yield running


@pytest.fixture
def installation(tmp_path: Path, gateway: FakeGateway) -> Installation:
    fleet = a_fleet([a_model("a"), a_model("b")], hosts=1).model_dump(mode="json")
    fleet["gateway"]["port"] = gateway.port
    file = tmp_path / "fleet.yaml"
    file.write_text(str(fleet).replace("None", "null").replace("True", "true"))
    return Installation(fleet_file=str(file), state_folder=str(tmp_path / "state"))


def write_prompts(installation: Installation, count: int, day: str = DAY) -> Path:
    path = prompt_file(installation.state, day)
    rows = range(count)
    pl.DataFrame({"id": [str(n) for n in rows], "prompt": [f"q{n}" for n in rows]}).write_parquet(
        path
    )
    return path


def do_batch(installation: Installation, instance: dg.DagsterInstance) -> Any:
    job = build_definitions(installation).resolve_job_def("batch")
    return job.execute_in_process(instance=instance, partition_key=DAY, raise_on_error=False)


def evaluate(installation: Installation, instance: dg.DagsterInstance) -> Any:
    context = dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=AT,
        resources={"installation": installation},
    )
    return batch_schedule(batch_job())(context)


def test_a_partition_is_answered_and_every_row_is_accounted_for(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    write_prompts(installation, 10)

    result = do_batch(installation, instance)

    assert result.success
    events = result.get_asset_materialization_events()
    assert [event.asset_key for event in events] == [PROMPTS, COMPLETIONS]
    metadata = events[1].materialization.metadata
    assert (metadata["ok"].value, metadata["errors"].value) == (10, 0)
    (check,) = result.get_asset_check_evaluations()
    assert check.passed
    assert check.metadata["completions"].value == 10


def test_a_second_run_asks_for_nothing(
    installation: Installation, instance: dg.DagsterInstance, gateway: FakeGateway
) -> None:
    write_prompts(installation, 5)
    do_batch(installation, instance)
    gateway.asked.clear()

    result = do_batch(installation, instance)

    metadata = result.get_asset_materialization_events()[1].materialization.metadata
    assert metadata["resumed from checkpoint"].value == 5
    assert gateway.asked == []


def test_a_missing_prompt_file_fails_the_run_by_name(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    result = do_batch(installation, instance)

    assert not result.success
    failure = result.failure_data_for_node("batch_prompts")
    assert f"{DAY}.parquet" in failure.user_failure_data.description


@pytest.mark.parametrize(
    ("answered", "what"),
    [
        (["0"], "missing"),
        (["0", "1", "2"], "without a prompt"),
        (["0", "1", "1"], "more than once"),
    ],
)
def test_rows_missing_surplus_or_doubled_fail_the_check(
    tmp_path: Path, answered: list[str], what: str
) -> None:
    prompts, completions = tmp_path / "p.parquet", tmp_path / "c.parquet"
    pl.DataFrame({"id": ["0", "1"]}).write_parquet(prompts)
    texts = pl.DataFrame(
        {"id": answered, "error": None, "completion": "text"},
        schema={"id": pl.String, "error": pl.String, "completion": pl.String},
    )
    texts.write_parquet(completions)

    check = account_for_rows(prompts, completions)

    assert not check.passed
    assert check.metadata[what].value == 1


def test_the_schedule_skips_days_without_a_prompt_file_and_says_so(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    skip = evaluate(installation, instance)

    assert isinstance(skip, dg.SkipReason)
    assert "2026-02-02: no prompt file" in (skip.skip_message or "")
    assert "2026-02-03: no prompt file" in (skip.skip_message or "")


def test_the_schedule_asks_for_the_days_whose_prompt_files_are_there(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    write_prompts(installation, 1, "2026-02-02")
    write_prompts(installation, 1, "2026-02-03")
    write_prompts(installation, 1, "2026-02-01")

    requests = evaluate(installation, instance)

    assert [request.partition_key for request in requests] == ["2026-02-02", "2026-02-03"]


def test_the_schedule_leaves_a_done_day_alone_until_its_prompts_change(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    prompts = write_prompts(installation, 1)
    do_batch(installation, instance)
    assert "2026-02-03: done" in (evaluate(installation, instance).skip_message or "")

    newer_ns = completion_file(installation.state, DAY).stat().st_mtime_ns + 10**9
    os.utime(prompts, ns=(newer_ns, newer_ns))

    assert [request.partition_key for request in evaluate(installation, instance)] == [DAY]


def test_the_schedule_does_not_ask_beside_a_run_of_the_day(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    write_prompts(installation, 1)
    tags = {"dagster/partition": DAY, **BATCH_TAGS}
    instance.create_run_for_job(dg.job(name="other")(lambda: None), tags=tags)

    assert "a run is under way" in (evaluate(installation, instance).skip_message or "")


def test_the_schedule_gives_up_on_a_file_that_keeps_failing(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    prompts = write_prompts(installation, 1)
    version = str(prompts.stat().st_mtime_ns)
    tags = {"dagster/partition": DAY, VERSION_TAG: version, **BATCH_TAGS}
    for _ in range(GIVE_UP_AFTER):
        instance.create_run_for_job(
            dg.job(name="other")(lambda: None), tags=tags, status=dg.DagsterRunStatus.FAILURE
        )

    assert "3 runs failed" in (evaluate(installation, instance).skip_message or "")

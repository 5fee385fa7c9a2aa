"""The dataset that comes with Turntable: a prompt file a day in the state folder."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from orchestration.datasets.scheduling import VERSION_TAG
from orchestration.installation import Installation
from orchestration.names import BATCH_TAGS, completions_key, prompts_key
from tests.orchestration.declaring import materialized, scheduled
from tests.orchestration.gateway import FakeGateway

DAY = "2026-02-03"
AT = datetime(2026, 2, 3, 12, tzinfo=UTC)


def write_prompts(installation: Installation, count: int, day: str = DAY) -> Path:
    path = installation.state.prompts / f"{day}.parquet"
    rows = range(count)
    pl.DataFrame({"id": [str(n) for n in rows], "prompt": [f"q{n}" for n in rows]}).write_parquet(
        path
    )
    return path


def completions(installation: Installation, day: str = DAY) -> Path:
    return installation.state.completions / f"{day}.parquet"


def do_batch(installation: Installation, instance: dg.DagsterInstance, **config: Any) -> Any:
    return materialized(installation, instance, "batch", DAY, config)


def evaluate(installation: Installation, instance: dg.DagsterInstance) -> Any:
    return scheduled(installation, instance, "batch", AT)


def test_a_partition_is_answered_and_every_row_is_accounted_for(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    write_prompts(installation, 10)

    result = do_batch(installation, instance)

    assert result.success
    events = result.get_asset_materialization_events()
    assert [event.asset_key for event in events] == [prompts_key("batch"), completions_key("batch")]
    metadata = events[1].materialization.metadata
    assert (metadata["answered"].value, metadata["errors"].value) == (10, 0)
    (check,) = result.get_asset_check_evaluations()
    assert check.passed
    assert check.metadata["completions"].value == 10


def test_answers_are_in_the_order_of_the_prompts_and_were_asked_in_the_flex_tier(
    installation: Installation, instance: dg.DagsterInstance, gateway: FakeGateway
) -> None:
    write_prompts(installation, 12)

    do_batch(installation, instance)

    frame = pl.read_parquet(completions(installation))
    assert frame["id"].to_list() == [str(n) for n in range(12)]
    assert frame["completion"].to_list() == [f"answer to q{n}" for n in range(12)]
    assert sorted(gateway.texts()) == sorted(f"q{n}" for n in range(12))
    assert {body["service_tier"] for body in gateway.asked} == {"flex"}
    assert {(body["model"], body["max_tokens"]) for body in gateway.asked} == {("a", 256)}
    assert {body["temperature"] for body in gateway.asked} == {0.0}


def test_bad_rows_become_rows_with_an_error(
    installation: Installation, instance: dg.DagsterInstance, gateway: FakeGateway
) -> None:
    pl.DataFrame(
        {
            "id": ["good", "no-model", "no-prompt", "bad-messages", "refused", "chat"],
            "model": [None, "zzz", None, None, "b", "b"],
            "prompt": ["hello", "hello", None, None, "too long", None],
            "messages": [None, None, None, "{", None, '[{"role":"user","content":"hi"}]'],
            "max_tokens": [None, 1, 1, 1, 1, 7],
        }
    ).write_parquet(installation.state.prompts / f"{DAY}.parquet")
    gateway.answers["too long"] = [400]

    do_batch(installation, instance)

    found = pl.read_parquet(completions(installation)).iter_rows(named=True)
    rows = {row["id"]: row for row in found}
    assert rows["good"]["completion"] == "answer to hello"
    assert rows["chat"]["completion"] == "answer to hi"
    assert "no model is called 'zzz'" in rows["no-model"]["error"]
    assert "'prompt' is undefined" in rows["no-prompt"]["error"]
    assert "not a JSON list" in rows["bad-messages"]["error"]
    assert rows["refused"]["error"].startswith("400")
    assert sorted(gateway.texts()) == ["hello", "hi", "too long"]
    assert {body["max_tokens"] for body in gateway.asked} == {256, 1, 7}


def test_a_second_run_asks_for_nothing_unless_it_is_to_ask_for_errors_again(
    installation: Installation, instance: dg.DagsterInstance, gateway: FakeGateway
) -> None:
    write_prompts(installation, 5)
    gateway.answers["q3"] = [400]
    do_batch(installation, instance)
    gateway.asked.clear()

    again = do_batch(installation, instance)
    assert gateway.asked == []
    metadata = again.get_asset_materialization_events()[1].materialization.metadata
    assert (metadata["rows done before"].value, metadata["errors"].value) == (5, 1)

    mended = do_batch(installation, instance, retry_errors=True)
    assert gateway.texts() == ["q3"]
    assert (
        mended.get_asset_materialization_events()[1].materialization.metadata["answered"].value == 5
    )


def test_only_rows_whose_prompts_changed_are_asked_again(
    installation: Installation, instance: dg.DagsterInstance, gateway: FakeGateway
) -> None:
    path = write_prompts(installation, 3)
    do_batch(installation, instance)
    gateway.asked.clear()

    pl.DataFrame({"id": ["0", "1"], "prompt": ["q0", "another"]}).write_parquet(path)
    do_batch(installation, instance)

    assert gateway.texts() == ["another"]
    assert pl.read_parquet(completions(installation))["completion"].to_list() == [
        "answer to q0",
        "answer to another",
    ]


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"id": ["1", "1"], "prompt": ["a", "b"]}, "share an id"),
        ({"id": [None], "prompt": ["a"]}, "share an id or have none"),
        ({"name": ["1"], "prompt": ["a"]}, "but not id"),
        ({"id": ["1"], "text": ["a"]}, "but not prompt"),
    ],
)
def test_a_file_whose_rows_cannot_be_told_apart_is_refused(
    installation: Installation, instance: dg.DagsterInstance, columns: dict[str, Any], why: str
) -> None:
    pl.DataFrame(columns).write_parquet(installation.state.prompts / f"{DAY}.parquet")

    result = do_batch(installation, instance)

    assert not result.success
    failure = result.failure_data_for_node("batch_prompts").user_failure_data.description
    assert f"{DAY}.parquet" in failure
    assert why in failure


def test_a_missing_prompt_file_fails_the_run_by_name(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    result = do_batch(installation, instance)

    assert not result.success
    failure = result.failure_data_for_node("batch_prompts")
    assert f"{DAY}.parquet" in failure.user_failure_data.description


def test_the_schedule_skips_days_without_a_prompt_file_and_says_so(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    skip = evaluate(installation, instance)

    assert isinstance(skip, dg.SkipReason)
    assert "2026-02-02: no file" in (skip.skip_message or "")
    assert "2026-02-03: no file" in (skip.skip_message or "")


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

    newer_ns = completions(installation).stat().st_mtime_ns + 10**9
    os.utime(prompts, ns=(newer_ns, newer_ns))

    assert [request.partition_key for request in evaluate(installation, instance)] == [DAY]


def test_the_schedule_does_not_ask_beside_a_run_of_the_day(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    write_prompts(installation, 1)
    tags = {"dagster/partition": DAY, "turntable/dataset": "batch", **BATCH_TAGS}
    instance.create_run_for_job(dg.job(name="other")(lambda: None), tags=tags)

    assert "a run is under way" in (evaluate(installation, instance).skip_message or "")


def test_the_schedule_gives_up_on_a_file_that_keeps_failing(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    prompts = write_prompts(installation, 1)
    version = str(prompts.stat().st_mtime_ns)
    tags = {
        "dagster/partition": DAY,
        VERSION_TAG: version,
        "turntable/dataset": "batch",
        **BATCH_TAGS,
    }
    for _ in range(3):
        instance.create_run_for_job(
            dg.job(name="other")(lambda: None), tags=tags, status=dg.DagsterRunStatus.FAILURE
        )

    assert "3 runs failed" in (evaluate(installation, instance).skip_message or "")

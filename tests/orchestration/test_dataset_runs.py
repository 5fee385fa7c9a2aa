"""Datasets of many kinds, run: sources, templates, partitions, checks, and when schedules ask."""

import json
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars as pl
import pytest

from orchestration.installation import Installation
from orchestration.names import completions_key
from tests.fakes.host import wait_until
from tests.orchestration.declaring import PLAIN, declare, materialized, scheduled
from tests.orchestration.gateway import FakeGateway

FOLDER = "datasets"
DAILY = {"by": "daily", "start": "2026-02-01"}
QUERY = {"kind": "query", "id": "id"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / FOLDER
    path.mkdir()
    return path


def write_rows(file: Path, *texts: str | None) -> None:
    file.write_text(
        "".join(json.dumps({"id": f"r{n}", "text": text}) + "\n" for n, text in enumerate(texts))
    )


def answers(installation: Installation, name: str, partition: str = "all") -> pl.DataFrame:
    return pl.read_parquet(installation.state.root / "datasets" / name / f"{partition}.parquet")


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv"])
def test_files_of_every_kind_are_read(
    installation: Installation, instance: dg.DagsterInstance, folder: Path, kind: str
) -> None:
    frame = pl.DataFrame({"number": [7, 8], "text": ["x", "y"]})
    write = {"parquet": frame.write_parquet, "jsonl": frame.write_ndjson, "csv": frame.write_csv}
    write[kind](folder / f"rows.{kind}")
    declare(
        installation,
        "some",
        source={"kind": "file", "path": f"rows.{kind}", "id": "number"},
        output={"columns": ["text"]},
    )

    assert materialized(installation, instance, "some").success

    found = answers(installation, "some").select("id", "completion", "text")
    assert found.rows() == [("7", "answer to x", "x"), ("8", "answer to y", "y")]


def test_several_files_of_a_partition_are_one_source_and_rows_without_ids_are_numbered(
    installation: Installation, instance: dg.DagsterInstance, folder: Path
) -> None:
    (folder / "02").mkdir()
    write_rows(folder / "02" / "a.jsonl", "one")
    write_rows(folder / "02" / "b.jsonl", "two")
    declare(
        installation,
        "some",
        source={"kind": "file", "path": "{start:%d}/*.jsonl"},
        partitions=DAILY,
        output={"path": "out/{start:%Y-%m}/{partition}.jsonl"},
    )

    assert materialized(installation, instance, "some", "2026-02-02").success

    found = pl.read_ndjson(folder / "out" / "2026-02" / "2026-02-02.jsonl")
    assert found.select("id", "completion").rows() == [
        ("0", "answer to one"),
        ("1", "answer to two"),
    ]


def test_a_query_knows_its_partition_and_period(
    installation: Installation, instance: dg.DagsterInstance, folder: Path
) -> None:
    with duckdb.connect(str(folder / "shop.duckdb")) as connection:
        connection.execute(
            "CREATE TABLE reviews AS SELECT n AS id, "
            "TIMESTAMPTZ '2026-02-01 12:00:00+00' + to_days(n::INTEGER) AS written_at, "
            "'review ' || n AS text "
            "FROM range(4) t(n)"
        )
    sql = (
        "SELECT id, text || ' of ' || $partition AS text FROM reviews "
        "WHERE written_at >= $start AND written_at < $end"
    )
    declare(
        installation,
        "some",
        source={**QUERY, "sql": sql, "database": "shop.duckdb"},
        partitions=DAILY,
    )

    assert materialized(installation, instance, "some", "2026-02-03").success

    found = answers(installation, "some", "2026-02-03")
    assert found["completion"].to_list() == ["answer to review 2 of 2026-02-03"]


def test_a_query_reads_files_beside_the_dataset_file(
    installation: Installation, instance: dg.DagsterInstance, folder: Path
) -> None:
    (folder / "rows.csv").write_text("id,text\n1,hello\n")
    declare(installation, "some", source={**QUERY, "sql": "SELECT * FROM read_csv('rows.csv')"})

    assert materialized(installation, instance, "some").success

    assert answers(installation, "some")["completion"].to_list() == ["answer to hello"]


def test_a_query_that_fails_fails_the_run_by_name(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    declare(installation, "some", source={**QUERY, "sql": "SELECT * FROM nowhere"})

    result = materialized(installation, instance, "some")

    failure = result.failure_data_for_node("some_prompts").user_failure_data.description
    assert "some.yaml, source.sql" in failure
    assert "nowhere" in failure


def test_a_request_is_what_template_sampling_and_overrides_say(
    installation: Installation,
    instance: dg.DagsterInstance,
    folder: Path,
    gateway: FakeGateway,
) -> None:
    schema = {"type": "object"}
    (folder / "rows.csv").write_text("id,text,model,seed\n1,hello,b,5\n2,bye,,\n")
    declare(
        installation,
        "some",
        source={"kind": "file", "path": "rows.csv", "id": "id"},
        template={"system": "Be {{ partition }}.", "prompt": "Say {{ text | upper }}"},
        sampling={
            "max_tokens": 9,
            "temperature": 0.5,
            "top_p": 0.9,
            "stop": ["!"],
            "response_schema": schema,
            "extra": {"top_k": 3},
        },
        overrides=["model", "seed"],
        partitions={"by": "keys", "keys": ["kind", "brief"]},
    )

    materialized(installation, instance, "some", "brief")

    first, second = sorted(gateway.asked, key=lambda body: body["model"], reverse=True)
    assert first == {
        "model": "b",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Say HELLO"},
        ],
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 5,
        "stop": ["!"],
        "top_k": 3,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema, "strict": True},
        },
        "service_tier": "flex",
    }
    assert second["model"] == "a"
    assert "seed" not in second


def test_a_template_cannot_reach_beyond_its_row(
    installation: Installation, instance: dg.DagsterInstance, folder: Path, gateway: FakeGateway
) -> None:
    write_rows(folder / "rows.jsonl", "x")
    declare(installation, "some", template={"prompt": "{{ text.__class__.__mro__ }}{{ text }}"})

    materialized(installation, instance, "some")

    assert gateway.asked == []
    assert "unsafe" in answers(installation, "some")["error"][0]


def test_checks_see_errors_row_counts_and_answers_of_the_wrong_form(
    installation: Installation, instance: dg.DagsterInstance, folder: Path, gateway: FakeGateway
) -> None:
    write_rows(folder / "rows.jsonl", "x", "y", None)
    declare(
        installation,
        "some",
        checks={"max_error_rate": 0.3, "min_rows": 4, "answer_schema": {"type": "object"}},
    )

    result = materialized(installation, instance, "some")

    assert result.success
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert {name: check.passed for name, check in checks.items()} == {
        "every_row_accounted_for": True,
        "errors_within_bound": False,
        "row_count_within_bounds": False,
        "answers_follow_their_schema": False,
    }
    assert checks["errors_within_bound"].metadata["errors"].value == 1
    assert "r0: not JSON" in str(checks["answers_follow_their_schema"].metadata["such as"].value)


def test_a_run_asks_again_for_failed_rows_as_often_as_the_file_says(
    installation: Installation, instance: dg.DagsterInstance, folder: Path, gateway: FakeGateway
) -> None:
    write_rows(folder / "rows.jsonl", "x", "y")
    gateway.answers["x"] = [400, 400, 400]
    declare(installation, "some", retries={"errors": 2})

    materialized(installation, instance, "some")

    assert gateway.texts().count("x") == 3
    assert gateway.texts().count("y") == 1
    assert answers(installation, "some")["error"].null_count() == 1


def test_a_run_that_is_due_ends_and_the_next_one_goes_on(
    installation: Installation, instance: dg.DagsterInstance, folder: Path, gateway: FakeGateway
) -> None:
    write_rows(folder / "rows.jsonl", "x", "y")
    gateway.answers["y"] = [503] * 1000
    declare(installation, "some", due_h=2 / 3600)

    late = materialized(installation, instance, "some")
    failure = late.failure_data_for_node("some_completions").user_failure_data.description
    assert "had no answer in time" in failure

    gateway.answers.clear()
    declare(installation, "some", due_h=1)
    assert materialized(installation, instance, "some").success
    assert answers(installation, "some")["completion"].to_list() == ["answer to x", "answer to y"]


def test_the_page_of_a_run_shows_what_it_did_and_a_picture(
    installation: Installation, instance: dg.DagsterInstance, folder: Path, gateway: FakeGateway
) -> None:
    write_rows(folder / "rows.jsonl", "x", "y", "z")
    gateway.answers["x"] = [400]
    declare(installation, "some", retries={"errors": 1})

    run = materialized(installation, instance, "some")

    page = run.get_asset_materialization_events()[1].materialization.metadata
    assert {name: page[name].value for name in ("answered", "errors", "completion tokens")} == {
        "answered": 3,
        "errors": 0,
        "completion tokens": 15,
    }
    assert (page["rows done by this run"].value, page["rows done before"].value) == (3, 0)
    assert "the traffic store is away" in str(page["evictions"].value)
    assert "data:image/png;base64," in str(page["picture"].value)


def test_the_sample_on_a_page_is_cut_to_what_a_table_shows(
    installation: Installation, instance: dg.DagsterInstance, folder: Path, gateway: FakeGateway
) -> None:
    write_rows(folder / "rows.jsonl", "long " * 100)
    declare(installation, "some")

    run = materialized(installation, instance, "some")

    (row,) = run.get_asset_materialization_events()[1].materialization.metadata["sample"].records
    assert row.data["completion"].startswith("answer to long")
    assert row.data["completion"].endswith("…")
    assert answers(installation, "some")["completion"].item().endswith("long ")


def test_a_run_under_way_says_how_far_it_is(
    installation: Installation,
    instance: dg.DagsterInstance,
    folder: Path,
    gateway: FakeGateway,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("orchestration.datasets.answering.report_pause_s", lambda _: 0.05)
    write_rows(folder / "rows.jsonl", "x", "y")
    gateway.answers["y"] = ["hold"]
    declare(installation, "some")
    pages: list[Any] = []

    def seen() -> bool:
        found = instance.fetch_observations(completions_key("some"), limit=1).records
        pages[:] = [record.asset_observation.metadata for record in found]
        return bool(pages) and pages[0]["done"].value == 1

    def let_go_when_it_is_seen() -> None:
        try:
            wait_until(seen)
        finally:
            gateway.let_go.set()

    watcher = threading.Thread(target=let_go_when_it_is_seen)
    watcher.start()
    materialized(installation, instance, "some")
    watcher.join()

    (page,) = pages
    assert page["rows"].value == 2
    assert page["open requests"].value.startswith("1 of ")


AT = datetime(2026, 2, 4, 6, tzinfo=UTC)


def wanted(installation: Installation, instance: dg.DagsterInstance, at: datetime) -> Any:
    return scheduled(installation, instance, "some", at)


def test_a_period_that_a_query_is_about_is_done_once_when_it_has_ended(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    declare(
        installation,
        "some",
        source={**QUERY, "sql": "SELECT 1 AS id, 'x' AS text"},
        partitions=DAILY,
        schedule={"cron": "0 6 * * *", "latest": 2},
    )

    asked = wanted(installation, instance, AT)
    assert [request.partition_key for request in asked] == ["2026-02-02", "2026-02-03"]

    materialized(installation, instance, "some", "2026-02-03")
    assert [one.partition_key for one in wanted(installation, instance, AT)] == ["2026-02-02"]


def test_a_query_without_periods_is_done_at_every_tick(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    sql = "SELECT 1 AS id, 'x' AS text"
    declare(installation, "some", source={**QUERY, "sql": sql}, schedule={"cron": "0 6 * * *"})

    materialized(installation, instance, "some")
    (first,) = wanted(installation, instance, AT)
    (second,) = wanted(installation, instance, AT + timedelta(days=1))

    assert first.partition_key is None
    assert first.run_key != second.run_key


def test_every_key_is_looked_at_and_done_when_its_file_is_there_or_newer(
    installation: Installation, instance: dg.DagsterInstance, folder: Path
) -> None:
    declare(
        installation,
        "some",
        source={"kind": "file", "path": "{partition}.jsonl", "id": "id"},
        partitions={"by": "keys", "keys": ["north", "south"]},
        schedule={"cron": "0 6 * * *"},
    )
    write_rows(folder / "south.jsonl", "x")

    assert [one.partition_key for one in wanted(installation, instance, AT)] == ["south"]
    materialized(installation, instance, "some", "south")
    skip = wanted(installation, instance, AT)
    assert "south: done" in skip.skip_message
    assert "north: no file" in skip.skip_message

    later_ns = (folder / "south.jsonl").stat().st_mtime_ns + 10**12
    os.utime(folder / "south.jsonl", ns=(later_ns, later_ns))
    assert [one.partition_key for one in wanted(installation, instance, AT)] == ["south"]


def test_a_source_that_grew_while_it_was_answered_is_asked_for_again(
    installation: Installation, instance: dg.DagsterInstance, folder: Path, gateway: FakeGateway
) -> None:
    write_rows(folder / "rows.jsonl", "x")
    gateway.answers["x"] = ["hold"]
    declare(installation, "some", schedule={"cron": "0 6 * * *"})

    def grow_when_it_was_read() -> None:
        try:
            wait_until(lambda: gateway.texts() == ["x"])
            write_rows(folder / "rows.jsonl", "x", "y")
        finally:
            gateway.let_go.set()

    growing = threading.Thread(target=grow_when_it_was_read)
    growing.start()
    materialized(installation, instance, "some")
    growing.join()
    assert answers(installation, "some").height == 1
    assert [one.partition_key for one in wanted(installation, instance, AT)] == [None]

    materialized(installation, instance, "some")
    assert answers(installation, "some")["completion"].to_list() == ["answer to x", "answer to y"]
    assert "done" in wanted(installation, instance, AT).skip_message
    assert gateway.texts() == ["x", "y"]


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_row_whose_setting_is_no_number_ends_with_an_error_alone(
    installation: Installation, instance: dg.DagsterInstance, folder: Path, value: float
) -> None:
    rows = pl.DataFrame(
        {
            "id": ["a", "b"],
            "text": ["x", "y"],
            "max_tokens": [value, 5.0],
            "temperature": [0.0, value],
        }
    )
    rows.write_parquet(folder / "rows.parquet")
    source = {"kind": "file", "path": "rows.parquet", "id": "id"}
    declare(installation, "some", source=source, overrides=["max_tokens"])
    declare(installation, "other", source=source, overrides=["temperature"])

    assert materialized(installation, instance, "some").success
    assert materialized(installation, instance, "other").success

    some, other = answers(installation, "some"), answers(installation, "other")
    assert "not a number" in some["error"][0]
    assert "not a number" in other["error"][1]
    assert some["error"][1] is other["error"][0] is None


def test_a_row_whose_chat_is_nested_too_deep_ends_with_an_error_alone(
    installation: Installation, instance: dg.DagsterInstance, folder: Path
) -> None:
    deep = f'[{{"content": {"[" * 100_000}{"]" * 100_000}}}]'
    chats = [{"id": "a", "chat": deep}, {"id": "b", "chat": '[{"content": "x"}]'}]
    (folder / "rows.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    declare(installation, "some", template={"messages_column": "chat"})

    assert materialized(installation, instance, "some").success

    found = answers(installation, "some")
    assert "messages is not" in found["error"][0]
    assert found["error"][1] is None


def test_nothing_is_asked_before_the_first_period_has_ended(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    declare(
        installation,
        "some",
        PLAIN,
        source={"kind": "file", "path": "{partition}.csv"},
        partitions={"by": "daily", "start": "2026-02-04"},
        schedule={"cron": "0 6 * * *"},
    )

    assert wanted(installation, instance, AT).skip_message == "no period has ended yet"

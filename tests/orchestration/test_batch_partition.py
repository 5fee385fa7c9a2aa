"""A batch partition: every row once, whatever happens in between."""

import asyncio
import multiprocessing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from orchestration.batch.checkpoint import Checkpoint, Completion
from orchestration.batch.partition import BatchSettings, BatchSummary, complete_partition
from orchestration.batch.prompts import Prompt, read_prompts
from orchestration.errors import GatewayAway, PartitionBusy, PromptFileError
from tests.fakes.host import wait_until
from tests.orchestration.building import a_fleet, a_model
from tests.orchestration.gateway import FakeGateway, fake_gateway

FLEET = a_fleet([a_model("a"), a_model("b")], hosts=1)


def prompts_of(folder: Path, columns: dict[str, list[Any]]) -> list[Prompt]:
    path = folder / "2026-02-03.parquet"
    pl.DataFrame(columns).write_parquet(path)
    return read_prompts(path, FLEET)


def numbered(folder: Path, count: int) -> list[Prompt]:
    ids = [f"row-{n}" for n in range(count)]
    return prompts_of(folder, {"id": ids, "prompt": [f"question {n}" for n in range(count)]})


async def run(
    folder: Path, gateway: FakeGateway, prompts: list[Prompt], **changed: Any
) -> BatchSummary:
    settings: dict[str, Any] = {
        "base_url": f"http://127.0.0.1:{gateway.port}",
        "api_key": "batch key",
        "windows": {"a": 4, "b": 4},
        "patience_s": 30,
        "request_s": 30,
        "retry_errors": False,
    } | changed
    return await complete_partition(
        prompts, folder / "done.jsonl", folder / "out.parquet", BatchSettings(**settings), print
    )


def output(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in pl.read_parquet(folder / "out.parquet").iter_rows(named=True)}


async def test_every_prompt_is_asked_once_in_the_flex_tier_and_answered_in_order(
    tmp_path: Path,
) -> None:
    with fake_gateway() as gateway:
        summary = await run(tmp_path, gateway, numbered(tmp_path, 20))

    frame = pl.read_parquet(tmp_path / "out.parquet")
    assert frame["id"].to_list() == [f"row-{n}" for n in range(20)]
    assert frame["completion"].to_list() == [f"answer to question {n}" for n in range(20)]
    assert sorted(gateway.texts()) == sorted(f"question {n}" for n in range(20))
    assert {body["service_tier"] for body in gateway.asked} == {"flex"}
    assert {body["temperature"] for body in gateway.asked} == {0.0}
    assert {body["model"] for body in gateway.asked} == {"a"}
    assert (summary.ok, summary.errors, summary.resumed) == (20, 0, 0)
    assert summary.completion_tokens == 100


async def test_no_more_requests_are_open_than_the_window(tmp_path: Path) -> None:
    with fake_gateway() as gateway:
        await run(tmp_path, gateway, numbered(tmp_path, 30), windows={"a": 3, "b": 1})

    assert gateway.most_open <= 3


async def test_bad_rows_become_rows_with_an_error(tmp_path: Path) -> None:
    prompts = prompts_of(
        tmp_path,
        {
            "id": ["good", "no-model", "no-prompt", "bad-messages", "refused", "chat"],
            "model": [None, "zzz", None, None, "b", "b"],
            "prompt": ["hello", "hello", None, None, "too long", None],
            "messages": [None, None, None, "{", None, '[{"role":"user","content":"hi"}]'],
        },
    )
    with fake_gateway() as gateway:
        gateway.answers["too long"] = [400]
        summary = await run(tmp_path, gateway, prompts)

    rows = output(tmp_path)
    assert rows["good"]["completion"] == "answer to hello"
    assert rows["chat"]["completion"] == "answer to hi"
    assert "no model is called 'zzz'" in rows["no-model"]["error"]
    assert "neither prompt nor messages" in rows["no-prompt"]["error"]
    assert "not a JSON list" in rows["bad-messages"]["error"]
    assert rows["refused"]["error"].startswith("400")
    assert (summary.ok, summary.errors) == (2, 4)
    assert sorted(gateway.texts()) == ["hello", "hi", "too long"]


async def test_a_busy_or_dying_gateway_is_waited_for(tmp_path: Path) -> None:
    with fake_gateway() as gateway:
        gateway.answers["question 1"] = [503, 503]
        gateway.answers["question 2"] = ["die"]
        summary = await run(tmp_path, gateway, numbered(tmp_path, 4))

    assert summary.ok == 4
    assert gateway.texts().count("question 1") == 3


async def test_a_row_that_the_gateway_fails_at_is_tried_a_few_times_only(tmp_path: Path) -> None:
    with fake_gateway() as gateway:
        gateway.answers["question 0"] = [500] * 50
        summary = await run(tmp_path, gateway, numbered(tmp_path, 2))

    assert (summary.ok, summary.errors) == (1, 1)
    assert gateway.texts().count("question 0") == 3


async def test_a_gateway_away_for_too_long_ends_the_run_and_keeps_what_was_done(
    tmp_path: Path,
) -> None:
    prompts = numbered(tmp_path, 8)
    with fake_gateway() as gateway:
        gateway.answers["question 7"] = [503] * 1000
        with pytest.raises(GatewayAway):
            await run(tmp_path, gateway, prompts, windows={"a": 1, "b": 1}, patience_s=0.3)
        assert not (tmp_path / "out.parquet").exists()
        gateway.answers.clear()
        gateway.asked.clear()

        summary = await run(tmp_path, gateway, prompts)

    assert gateway.texts() == ["question 7"]
    assert (summary.ok, summary.resumed) == (8, 7)


def _run_until_killed(folder: Path, port: int) -> None:
    gateway = FakeGateway()
    gateway.port = port
    asyncio.run(run(folder, gateway, numbered(folder, 12), windows={"a": 1, "b": 1}))


def test_a_run_killed_in_the_middle_costs_only_what_was_in_flight(tmp_path: Path) -> None:
    with fake_gateway() as gateway:
        gateway.answers["question 9"] = [503] * 1000
        first = multiprocessing.get_context("spawn").Process(
            target=_run_until_killed, args=(tmp_path, gateway.port)
        )
        first.start()
        wait_until(lambda: "question 9" in gateway.texts() or not first.is_alive())
        first.kill()
        first.join()
        gateway.answers.clear()
        gateway.asked.clear()

        summary = asyncio.run(run(tmp_path, gateway, numbered(tmp_path, 12)))

    assert sorted(gateway.texts()) == ["question 10", "question 11", "question 9"]
    assert summary.resumed == 9
    assert len(output(tmp_path)) == 12


async def test_a_row_whose_prompt_changed_is_asked_again(tmp_path: Path) -> None:
    with fake_gateway() as gateway:
        await run(tmp_path, gateway, numbered(tmp_path, 3))
        gateway.asked.clear()
        changed = prompts_of(
            tmp_path, {"id": ["row-0", "row-1"], "prompt": ["question 0", "another question"]}
        )
        await run(tmp_path, gateway, changed)

    assert gateway.texts() == ["another question"]
    assert output(tmp_path).keys() == {"row-0", "row-1"}


async def test_errors_are_asked_again_only_when_told(tmp_path: Path) -> None:
    prompts = numbered(tmp_path, 2)
    with fake_gateway() as gateway:
        gateway.answers["question 0"] = [400]
        await run(tmp_path, gateway, prompts)
        kept = await run(tmp_path, gateway, prompts)
        mended = await run(tmp_path, gateway, prompts, retry_errors=True)

    assert (kept.errors, mended.errors) == (1, 0)


def test_a_line_cut_short_is_dropped_and_the_file_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "done.jsonl"
    with Checkpoint(path) as checkpoint:
        checkpoint.add(Completion(id="1", model="a", fingerprint="f"))
    with path.open("ab") as file:
        file.write(b'{"id":"2","mod')

    with Checkpoint(path) as checkpoint:
        assert checkpoint.done.keys() == {"1"}
        checkpoint.add(Completion(id="3", model="a", fingerprint="f"))
    with Checkpoint(path) as checkpoint:
        assert checkpoint.done.keys() == {"1", "3"}


def test_one_run_at_a_time_holds_a_partition(tmp_path: Path) -> None:
    path = tmp_path / "done.jsonl"
    with Checkpoint(path), pytest.raises(PartitionBusy), Checkpoint(path):
        pass


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"id": ["1", "1"], "prompt": ["a", "b"]}, "share an id"),
        ({"id": [None], "prompt": ["a"]}, "share an id or have none"),
        ({"name": ["1"], "prompt": ["a"]}, "it has the columns"),
        ({"id": ["1"], "text": ["a"]}, "it has the columns"),
    ],
)
def test_a_file_whose_rows_cannot_be_told_apart_is_refused(
    tmp_path: Path, columns: dict[str, list[Any]], why: str
) -> None:
    with pytest.raises(PromptFileError, match=why):
        prompts_of(tmp_path, columns)


def test_a_missing_or_broken_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "2026-02-03.parquet"
    with pytest.raises(PromptFileError, match=r"2026-02-03\.parquet"):
        read_prompts(path, FLEET)
    path.write_text("not parquet")
    with pytest.raises(PromptFileError, match="not readable as Parquet"):
        read_prompts(path, FLEET)

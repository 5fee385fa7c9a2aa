"""`turntable plan`: the plan explained, its history, and what operators tell the planner."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analytics.events import Evaluation, PlanMade
from serving.config import Fleet, StateFolder
from tests.analytics.conftest import TOKEN, StoreProcess
from tests.fakes.host import fake_fleet, running_hosts
from tests.turntable.conftest import Run
from turntable.durations import in_words
from turntable.supervision import instance as record

PIN = ("plan", "pin", "host-1", "two", "--for", "2h", "--by", "anna", "--note", "a try")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    process = StoreProcess(tmp_path_factory.mktemp("store"))
    process.start()
    yield process
    process.stop()


@pytest.fixture
def fleet(store: StoreProcess) -> Fleet:
    models: dict[str, dict[str, Any]] = {"one": {"min_replicas": 1, "max_replicas": 2}, "two": {}}
    hosts: dict[str, str | None] = {"host-0": "one", "host-1": "one"}
    return fake_fleet(models, hosts, store={"port": store.port}, allocation={"time_sharing": False})


@pytest.fixture
def running(fleet: Fleet, state: StateFolder) -> Iterator[None]:
    """Hosts run, and an instance is on record."""
    (state.folder("secrets") / "store").write_text(TOKEN)
    described = record.describe(fleet, Path("fleet.yaml"), state, started_at=0.0)
    record.write_record(described, state)
    with running_hosts(fleet, state):
        yield


def printed(captured: pytest.CaptureFixture[str]) -> Any:
    """The JSON of a command, among the logs of hosts in this process."""
    output = captured.readouterr().out
    starts = [at for at in (output.find("[\n"), output.find("{\n"), output.find("[]")) if at >= 0]
    found, _ = json.JSONDecoder().raw_decode(output[min(starts) :])
    return found


@pytest.mark.usefixtures("running")
def test_the_plan_is_explained_within_100_columns(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*PIN) == 0
    capsys.readouterr()

    assert run("plan", "--explain") == 0

    shown = capsys.readouterr().out
    page = [line for line in shown.splitlines() if "{" not in line]
    assert max(map(len, page)) <= 100
    said = " ".join(" ".join(page).split())
    assert "host-1 is pinned to two until" in said
    assert "(anna: a try)" in said
    assert "host-1: one -> two" in said
    assert "is pinned to two until" in said
    assert "tokens/s a replica by the fleet file" in said
    assert "replicas' work expected late" in said
    assert "stays at 1 replica (minimum 1, maximum 2)" in said or "from 1 to" in said


@pytest.mark.usefixtures("running")
def test_the_explanation_as_json_has_the_plan_its_hosts_and_models(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*PIN) == 0
    capsys.readouterr()

    assert run("plan", "--explain", "--json") == 0

    found = printed(capsys)
    assert found["plan"]["moves"][0]["host"] == "host-1"
    assert found["plan"]["overrides"][0]["kind"] == "pin"
    hosts = {host["host"]: host for host in found["hosts"]}
    assert hosts["host-1"]["grant"] == ["two"]
    assert hosts["host-1"]["awake_model"] == "one"
    models = {model["model"]: model for model in found["models"]}
    assert models["one"]["replicas"] == 1
    assert models["one"]["late_with_one_fewer"] >= models["one"]["late"]


@pytest.mark.usefixtures("running")
def test_the_history_tells_plans_and_why_nothing_moved(
    run: Run, store: StoreProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    move = {"host": "host-1", "from_model": "one", "to_model": "two", "reason": "two waits"}
    writer = store.writer()
    writer.append(
        PlanMade(
            made_at=1e9,
            plan_id=4,
            trigger="two waits",
            run_id="r",
            moves=[move],
            replicas={"one": 1},
        )
    )
    writer.append(
        Evaluation(
            evaluated_at=1e9 + 5,
            plan_id=4,
            because="nothing to move. one stays",
            wanted="",
            verdicts={"one": "stays"},
            replicas={"one": 1},
            overrides=["planned moves are frozen"],
        )
    )
    writer.close(timeout_s=60)

    assert run("plan", "--history") == 0
    shown = capsys.readouterr().out
    assert run("plan", "--history", "--json") == 0
    rows = printed(capsys)

    lines = [line.strip() for line in shown.splitlines() if "{" not in line]
    assert lines[0] == "2001-09-09 01:46:45 UTC  no run asked for"
    assert "2001-09-09 01:46:40 UTC  plan 4" in lines
    assert "host-1: one -> two, two waits" in lines
    assert [row["kind"] for row in rows] == ["evaluation", "plan"]
    assert rows[1]["moves"] == [move]
    assert rows[0]["overrides"] == ["planned moves are frozen"]


def test_overrides_are_told_listed_and_released(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*PIN) == 0
    assert run("plan", "freeze", "--for", "30m") == 0
    assert run("plan", "replicas", "two", "1", "--for", "1h30m") == 0
    capsys.readouterr()
    assert run("plan", "overrides", "--json") == 0
    told = printed(capsys)
    assert run("plan", "release", "host-1") == 0
    assert "host-1 is pinned to two" in capsys.readouterr().out
    assert run("plan", "release", "--all", "--json") == 0
    released = printed(capsys)

    assert [override["kind"] for override in told] == ["pin", "freeze", "replicas"]
    assert [round(o["until"] - o["made_at"]) for o in told] == [7200, 1800, 5400]
    assert [override["kind"] for override in released] == ["freeze", "replicas"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pin", "host-9", "two"), "host-0, host-1"),
        (("pin", "host-0", "three"), "one, two"),
        (("pin", "host-0", "one", "two"), "allocation.time_sharing"),
        (("replicas", "two", "2"), "Ask for 0 to 1"),
        (("freeze", "--for", "soon"), "1h30m"),
        (("freeze", "--for", "90d"), "fleet file"),
        (("release", "host-0"), "In force: none"),
        (("release",), "--all"),
    ],
)
def test_what_the_fleet_cannot_follow_is_wrong_usage(
    run: Run, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert run("plan", *arguments) == 2
    assert said in capsys.readouterr().err


def test_durations_are_told_by_their_two_largest_units() -> None:
    assert in_words(0.2) == "0 s"
    assert in_words(59) == "59 s"
    assert in_words(3_600) == "1 h"
    assert in_words(93_784) == "1 d 2 h"

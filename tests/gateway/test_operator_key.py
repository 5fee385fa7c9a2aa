"""Where the fleet file names keys, Turntable's own tools get in with a key of the state folder."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from benchmarks.batch.lines import chat_lines, write_lines
from benchmarks.batch.submission import BatchClient
from benchmarks.chat import run_load
from benchmarks.coserve.segment import Load, run_segment
from benchmarks.failover.load import Clients, lasting_load
from benchmarks.instance import Instance
from benchmarks.reaction.bursts import ask
from benchmarks.servers import Server
from benchmarks.start import first_answer
from benchmarks.streams import Endpoint, Question
from serving.config import StateFolder
from tests.fakes.host import wait_until
from tests.gateway.conftest import EXACT, GatewayThread, Stage
from turntable.cli import app
from turntable.demo.answer import show_answer
from turntable.demo.observation import Observation
from turntable.demo.outside import Outside
from turntable.demo.show import run_step
from turntable.supervision.instance import describe, write_record


@pytest.fixture
def instance(keyed_gateway: GatewayThread, tmp_path: Path) -> Iterator[Instance]:
    """The keyed gateway as benchmarks see one."""
    idle = [sys.executable, "-c", "import sys; sys.stdin.read(); import time; time.sleep(3600)"]
    with Server(idle, tmp_path / "log", {}) as server:
        yield Instance(keyed_gateway.fleet, keyed_gateway.state, server, lambda _sentence: None)


@pytest.fixture
def long_answers(stage: Stage) -> None:
    """Engines answer with as many tokens as anybody asks for."""
    token = stage.tokenizer.encode("x", add_special_tokens=False)[0]
    stage.answer(lambda _request: [token] * 100)


def ended(gateway: GatewayThread) -> list[Any]:
    return [event for event in gateway.events.events if event.table == "requests"]


def demo(gateway: GatewayThread, state: StateFolder) -> Observation:
    outside = Outside(gateway.fleet, state, lambda _sentence: None)
    return run_step("a question is answered", show_answer, outside, Console(quiet=True))


def test_the_demo_is_answered_as_the_operator(stage: Stage, keyed_gateway: GatewayThread) -> None:
    stage.say("It is Paris.")
    before = len(ended(keyed_gateway))

    assert demo(keyed_gateway, keyed_gateway.state).observed

    wait_until(lambda: len(ended(keyed_gateway)) > before)
    assert ended(keyed_gateway)[-1].account == "operator"


def test_a_demo_over_another_state_folder_is_told_why_it_is_refused(
    keyed_gateway: GatewayThread, tmp_path: Path
) -> None:
    observation = demo(keyed_gateway, StateFolder(tmp_path))

    assert not observation.observed
    assert "--state" in observation.missing[0]


@pytest.mark.usefixtures("stage", "long_answers")
def test_loads_of_benchmarks_are_served(instance: Instance) -> None:
    url, key = instance.gateway, instance.key

    assert first_answer(instance.server, url, EXACT, key=key).output_tokens == 4
    assert run_load(url, EXACT, ["Hi"], max_tokens=3, key=key).answers[0].output_tokens == 3
    assert ask(instance, EXACT, 0, burst=2).answers[1].output_tokens > 0


@pytest.mark.usefixtures("stage", "long_answers")
def test_streams_of_benchmarks_are_served(instance: Instance) -> None:
    endpoint = Endpoint(instance.gateway, EXACT, {"service_tier": "flex"}, instance.key)
    rows = iter([Question("row", 5)])
    segment = run_segment(endpoint, Load("s", batch=rows, batch_streams=1, to_the_end=True))
    assert [stream.error for stream in segment.batch] == [None]

    with lasting_load([Clients(endpoint, 1, 5)]) as served:
        wait_until(lambda: len(served.streams) > 1)
    assert served.lost == []


def test_a_benchmarks_batch_is_taken(instance: Instance, tmp_path: Path) -> None:
    lines = tmp_path / "lines.jsonl"
    write_lines(chat_lines(EXACT, ["Hi"], 2, (1, 2)), lines)
    client = BatchClient(instance)

    submitted = client.submit(lines, key="a benchmark's")

    assert client.wait_validated(submitted) > 0


@pytest.mark.usefixtures("stage")
def test_commands_see_a_fleet_that_asks_for_keys(
    keyed_gateway: GatewayThread, tmp_path: Path
) -> None:
    file, state = tmp_path / "fleet.yaml", StateFolder(tmp_path / "state")
    file.write_text(yaml.safe_dump(keyed_gateway.fleet.model_dump(mode="json")))
    write_record(describe(keyed_gateway.fleet, file, state, 0.0), state)

    options = ["--fleet", str(file), "--state", str(state.root)]
    listed = CliRunner().invoke(app, [*options, "models", "--json"])

    replicas = {row["name"]: row["replicas"] for row in json.loads(listed.stdout)}
    assert sorted(replicas[EXACT]) == ["host-0", "host-1"]

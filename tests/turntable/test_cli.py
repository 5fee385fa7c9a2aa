import contextlib
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from serving.config import Fleet, StateFolder
from serving.errors import PlanRefused
from serving.wire import SwapCommand, SwapReport
from tests.fakes.host import FakeHost, running_hosts, wait_until
from tests.turntable.conftest import Run
from turntable.supervision import instance as record


def test_help_names_every_command(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = capsys.readouterr().out
    named = "up status models tiers swap cancel datasets plan simulate demo bench stop"
    for command in named.split():
        assert command in shown


def test_the_version_is_that_of_the_package(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"turntable {version('turntable')}\n"


@pytest.mark.parametrize("command", ["status", "plan", "stop"])
def test_a_command_that_needs_an_instance_ends_with_3_without_one(
    run: Run, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run(command) == 3
    assert "turntable up" in capsys.readouterr().err


def test_an_unknown_option_is_wrong_usage(run: Run) -> None:
    assert run("models", "--nonsense") == 2


def test_a_broken_fleet_file_is_named_with_its_fix_and_no_trace(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fleet.yaml").write_text("hosts: 3\n")
    assert run("models") == 2
    shown = capsys.readouterr().err
    assert "fleet.yaml" in shown
    assert "hosts" in shown
    assert "fix" in shown
    assert "Traceback" not in shown


def test_a_state_folder_that_cannot_be_made_is_named_with_a_fix_and_no_trace(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    assert run("models") == 1
    shown = capsys.readouterr().err
    assert str(tmp_path / "state") in shown
    assert "fix" in shown
    assert "Traceback" not in shown


def test_looking_for_an_instance_makes_no_folder(run: Run, state: StateFolder) -> None:
    assert run("status") == 3
    assert not state.root.exists()


def test_models_are_listed_without_an_instance(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("models", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["one", "two"]
    assert rows[0]["replicas"] is None


def test_datasets_are_listed_and_checked_without_an_instance(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("datasets", "--json") == 0
    (shipped,) = json.loads(capsys.readouterr().out)
    assert (shipped["name"], shipped["partitions"], shipped["usable"]) == ("batch", "daily", True)

    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "reviews.yaml").write_text("source: {kind: nonsense}\n")
    assert run("datasets", "--json") == 2
    shown = capsys.readouterr()
    assert [row["usable"] for row in json.loads(shown.out)] == [True, False]
    assert "reviews.yaml" in shown.err
    assert "source" in shown.err


def _object_in(output: str) -> dict[str, Any]:
    """The JSON object of a command, among the logs of hosts in this process."""
    found, _ = json.JSONDecoder().raw_decode(output[output.index("{\n") :])
    assert isinstance(found, dict)
    return found


def test_swap_reports_the_phases_and_the_next_plan_id(
    run: Run, fleet: Fleet, state: StateFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_hosts(fleet, state) as hosts:
        assert run("swap", "two", "--host", "host-1", "--json") == 0
        first = _object_in(capsys.readouterr().out)
        assert run("swap", "one", "--host", "host-0", "--json") == 0
        second = _object_in(capsys.readouterr().out)
        with hosts["host-1"].client() as client:
            assert client.state().awake_model == "two"
    assert first["outcome"] == "committed"
    assert first["phases_s"]
    assert second["outcome"] == "unchanged"
    assert second["plan_id"] == first["plan_id"] + 1


def test_swap_of_an_unknown_model_names_the_known_ones(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("swap", "three", "--host", "host-0") == 2
    assert "one, two" in capsys.readouterr().err


def test_swap_on_a_host_that_is_away_fails(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("swap", "one", "--host", "host-0") == 1
    assert "error" in capsys.readouterr().err


def test_swap_tells_how_long_nobody_was_served(
    run: Run, fleet: Fleet, state: StateFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_hosts(fleet, state):
        assert run("swap", "two", "--host", "host-0") == 0
    assert "s without service" in capsys.readouterr().out


def test_tiers_are_shown_with_what_each_engine_holds(
    run: Run, fleet: Fleet, state: StateFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_hosts(fleet, state) as hosts:
        hosts["host-1"].kill()
        assert run("tiers") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = {(line[0], line[1]): line[2:] for line in lines if line[:1] in (["host-0"], ["host-1"])}
    assert rows["host-0", "one"][0] == "awake"
    assert rows["host-0", "two"][:2] == ["disk", "-"]
    assert rows["host-1", "-"][0] == "unreachable"


def test_a_model_is_brought_to_a_tier(
    run: Run, fleet: Fleet, state: StateFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_hosts(fleet, state) as hosts:
        assert run("tiers", "host-0", "two", "asleep") == 0
        assert "two disk -> asleep" in capsys.readouterr().out
        with hosts["host-0"].client() as client:
            assert client.state().tiers["two"] == "asleep"
        assert run("tiers", "host-0", "one", "parked") == 1
        assert "one is awake" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("host-9",), "host-0, host-1"),
        (("host-0", "three", "disk"), "one, two"),
        (("host-0", "two"), "name the tier for two"),
        (("host-0", "two", "awake"), "awake"),
    ],
)
def test_a_tier_asked_for_wrongly_is_wrong_usage(
    run: Run, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert run("tiers", *arguments) == 2
    assert said in capsys.readouterr().err


def swap_by_hand(host: FakeHost, model: str, plan_id: int) -> SwapReport:
    with host.client() as client:
        return client.swap(SwapCommand(model=model, plan_id=plan_id, reason="test"))


@contextlib.contextmanager
def engines_start_only_afterwards(host: FakeHost) -> Iterator[None]:
    """No engine of the host gets ready while this is open."""
    host.engines.start_s = 3600.0
    try:
        yield
    finally:
        host.engines.start_s = 0.0


def test_a_hotswap_is_withdrawn_until_it_has_fenced(
    run: Run, fleet: Fleet, state: StateFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_hosts(fleet, state) as hosts, ThreadPoolExecutor(1) as pool:
        host = hosts["host-0"]
        with engines_start_only_afterwards(host):
            first = pool.submit(swap_by_hand, host, "two", 1)
            wait_until(lambda: not host.serves())
            assert run("cancel", "--host", "host-0") == 1
            assert "has fenced" in capsys.readouterr().err
        assert first.result().outcome == "committed"
        assert run("cancel", "--host", "host-0", "--plan", "7") == 1
        assert "no hotswap of plan 7" in capsys.readouterr().err


def test_a_hotswap_that_waits_is_cancelled(
    run: Run, fleet: Fleet, state: StateFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_hosts(fleet, state) as hosts, ThreadPoolExecutor(2) as pool:
        host = hosts["host-0"]

        def withdrawn() -> bool:
            return run("cancel", "--host", "host-0", "--plan", "2") == 0

        with engines_start_only_afterwards(host):
            first = pool.submit(swap_by_hand, host, "two", 1)
            wait_until(lambda: not host.serves())
            second = pool.submit(swap_by_hand, host, "one", 2)
            wait_until(withdrawn)
            assert "plan 2 is cancelled" in capsys.readouterr().out
            assert isinstance(second.exception(), PlanRefused)
        assert first.result().outcome == "committed"


def test_up_names_who_holds_a_port_it_needs(
    run: Run, fleet: Fleet, state: StateFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as holder:
        holder.bind((fleet.gateway.address, fleet.gateway.port))
        holder.listen(1)
        assert run("up") == 1
    shown = capsys.readouterr().err
    assert f"gateway needs 127.0.0.1:{fleet.gateway.port}" in shown
    assert str(psutil.Process().pid) in shown
    assert not (state.run / "supervisord.pid").exists()


def test_the_record_of_a_process_that_is_gone_is_not_believed(
    run: Run, fleet: Fleet, state: StateFolder
) -> None:
    described = record.describe(fleet, Path("fleet.yaml"), state, started_at=0.0)
    record.write_record(described, state)
    assert record.running_instance(state).pid == described.pid
    record.write_record(msgspec.structs.replace(described, pid_created_at=1.0), state)
    assert run("status") == 3

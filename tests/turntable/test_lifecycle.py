import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import stamina

from serving.config import StateFolder
from turntable.supervision import instance as record
from turntable.supervision.leftovers import end_members, members
from turntable.supervision.supervisord import SupervisorClient

pytestmark = pytest.mark.timeout(300)

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFolder]:
    folder = StateFolder(tmp_path / "state")
    yield folder
    end_members(folder)


@pytest.fixture
def start(state: StateFolder) -> Iterator[Start]:
    with contextlib.ExitStack() as stack:

        def starter(**behaviours: str) -> subprocess.Popen[str]:
            arguments = [f"{name}={behaviour}" for name, behaviour in behaviours.items()]
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.turntable.tiny", str(state.root), *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield starter


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Output up to a line with `text`; fails with all of it if that never comes."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    pytest.fail(f"no {text!r} in:\n{seen}")


def eventually(condition: Callable[[], bool]) -> None:
    for attempt in stamina.retry_context(
        on=AssertionError, attempts=None, timeout=60, wait_initial=0.05, wait_max=0.2
    ):
        with attempt:
            assert condition()


def pid_of(state: StateFolder, name: str) -> int:
    return {info.name: info.pid for info in SupervisorClient(state).processes()}[name]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_every_process_also_those_that_left_their_group(
    state: StateFolder, start: Start, number: signal.Signals
) -> None:
    process = start(one="steady", two="spawner")
    read_until(process, "Ready")
    assert len(members(state)) >= 4
    process.send_signal(number)
    assert process.wait(60) == 0
    assert members(state) == []


def test_a_program_that_dies_is_started_again(state: StateFolder, start: Start) -> None:
    process = start(one="steady", two="steady")
    read_until(process, "Ready")
    victim = pid_of(state, "one")
    psutil.Process(victim).kill()
    read_until(process, "one ended and was started again")
    assert pid_of(state, "one") not in (0, victim)


def test_a_program_that_ends_again_and_again_ends_the_start_with_its_last_words(
    state: StateFolder, start: Start
) -> None:
    process = start(one="steady", two="broken")
    output = read_until(process, "two does not stay up")
    assert process.stdout is not None
    output += process.stdout.read()
    assert process.wait(60) == 1
    assert "the disk is on fire" in output
    assert members(state) == []


def test_a_killed_owner_takes_everything_with_it(state: StateFolder, start: Start) -> None:
    process = start(one="steady")
    read_until(process, "Ready")
    process.kill()
    eventually(lambda: members(state) == [])


def test_what_a_killed_supervisor_left_is_ended_by_its_owner(
    state: StateFolder, start: Start
) -> None:
    process = start(one="steady", two="spawner")
    read_until(process, "Ready")
    psutil.Process(int((state.run / "supervisord.pid").read_text())).kill()
    assert process.stdout is not None
    assert "supervisord ended" in process.stdout.read()
    assert process.wait(60) == 1
    assert members(state) == []


def test_a_start_ends_what_an_earlier_run_left(state: StateFolder, start: Start) -> None:
    process = start(one="spawner")
    read_until(process, "Ready")
    supervisord = psutil.Process(int((state.run / "supervisord.pid").read_text()))
    supervisord.suspend()  # so that it cannot react to what follows
    process.kill()
    process.wait()
    supervisord.kill()
    left = members(state)
    assert left
    again = start(one="steady")
    assert "ended" in read_until(again, "an earlier run left")
    read_until(again, "Ready")
    assert not any(entry.is_running() and entry in members(state) for entry in left)


def test_a_second_start_says_that_it_is_running_already(state: StateFolder, start: Start) -> None:
    first = start(one="steady")
    read_until(first, "Ready")
    second = start(one="steady")
    assert "running already" in read_until(second, "running already")
    assert second.wait(60) == 1
    assert record.running_instance(state).pid == first.pid


def test_stop_from_elsewhere_waits_until_everything_has_ended(
    state: StateFolder, start: Start
) -> None:
    process = start(one="steady")
    read_until(process, "Ready")
    assert record.stop(record.running_instance(state), timeout_s=60)
    assert members(state) == []
    with pytest.raises(record.NotRunning):
        record.running_instance(state)
    assert process.wait(60) == 0


def test_a_deep_state_folder_works(tmp_path: Path, start: Start, state: StateFolder) -> None:
    deep = StateFolder(tmp_path.joinpath(*["a-long-folder-name"] * 8))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.turntable.tiny", str(deep.root), "one=steady"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        read_until(process, "Ready")
        assert pid_of(deep, "one") > 0
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        end_members(deep)

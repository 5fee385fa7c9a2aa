"""The life of an instance, from `turntable up` to the end of its last process.

This is the one owner of supervisord's process. Everything it starts carries the instance's
variable, so that at the end, and before a start, nothing can be overlooked.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from serving.config import Fleet, StateFolder
from serving.errors import TurntableError
from turntable.supervision.display import Display
from turntable.supervision.instance import Instance, describe, ownership, write_record
from turntable.supervision.leftovers import end_members, members
from turntable.supervision.ports import check_ports
from turntable.supervision.preparation import Progress, prepare_instance
from turntable.supervision.programs import Program, environment, programs, repository
from turntable.supervision.readiness import Prober, Readiness
from turntable.supervision.startup import CrashLoops, ReadinessWatch
from turntable.supervision.supervisord import (
    STOP_WAIT_S,
    SupervisorClient,
    SupervisorUnreachable,
    render,
)

_LOOK_AGAIN_S = 0.25
_STOP_MARGIN_S = 5.0
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SupervisorDied(TurntableError):
    """supervisord ended although nobody asked it to."""


@dataclass(frozen=True)
class Parts:
    """What an instance is made of; tests put tiny programs here."""

    instance: Instance
    programs: list[Program]
    environment: dict[str, str]
    prepare: Callable[[Progress], None]
    ask: Callable[[Program], Readiness]


def parts_of(fleet: Fleet, fleet_file: Path, state: StateFolder) -> Parts:
    """The real parts of an instance of a fleet."""
    variables = environment(fleet, fleet_file, state, os.environ)
    return Parts(
        instance=describe(fleet, fleet_file, state, time.time()),
        programs=programs(fleet, fleet_file, state),
        environment=variables,
        prepare=lambda progress: prepare_instance(fleet, state, variables, progress),
        ask=Prober(fleet, state).ask,
    )


class Lifecycle:
    """Starts an instance, stays until it is told to stop, and leaves nothing."""

    def __init__(self, parts: Parts, state: StateFolder, display: Display) -> None:
        self._parts = parts
        self._state = state
        self._display = display
        self._supervisord: subprocess.Popen[bytes] | None = None
        self._pids: dict[str, int] = {}
        """The last process seen of every program."""

    @contextmanager
    def running(self) -> Iterator[Instance]:
        """A ready instance for as long as this is open.

        Raises AlreadyRunning, PortTaken, WeightsError, StorageFailed, StartFailed. However it is
        left, every process has ended then.
        """
        with ownership(self._state):
            if count := end_members(self._state):
                self._display.sentence(f"ended {count} processes that an earlier run left")
            instance = self._parts.instance
            write_record(instance, self._state)
            check_ports(self._parts.programs, instance.fleet_file)
            self._parts.prepare(self._display.sentence)
            try:
                self._spawn()
                self._await_ready()
                instance = msgspec.structs.replace(instance, phase="ready")
                write_record(instance, self._state)
                yield instance
            finally:
                self._stop()

    def watch(self) -> None:
        """Stay, and say what restarts. Raises SupervisorDied; ends only by that or a signal."""
        client = SupervisorClient(self._state)
        pause = threading.Event()
        while True:
            pause.wait(1.0)
            try:
                processes = client.processes()
            except SupervisorUnreachable:
                self._check_supervisord()
                continue
            for process in processes:
                if process.pid and process.pid != self._pids[process.name]:
                    self._display.sentence(f"{process.name} ended and was started again")
                    self._pids[process.name] = process.pid

    def _spawn(self) -> None:
        configuration = self._state.run / "supervisord.conf"
        configuration.write_text(render(self._parts.programs, self._state, repository()))
        module = "turntable.supervision.bound_supervisord"
        with (self._state.logs / "supervisord.err").open("wb") as errors:
            self._supervisord = subprocess.Popen(
                [sys.executable, "-m", module, str(os.getpid()), str(configuration)],
                env=self._parts.environment,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,  # Ctrl-C comes to this process, which stops it in order
            )

    def _await_ready(self) -> None:
        client, crash_loops = SupervisorClient(self._state), CrashLoops(self._state)
        pause = threading.Event()
        with self._display.table(), ReadinessWatch(self._parts.programs, self._parts.ask) as watch:
            while not (watch.ready and self._pids):
                pause.wait(_LOOK_AGAIN_S)
                self._check_supervisord()
                try:
                    processes = client.processes()
                except SupervisorUnreachable:
                    continue  # it has not opened its socket yet
                crash_loops.look(processes)
                self._pids = {process.name: process.pid for process in processes}
                for entry in watch.progress:
                    entry.starts = crash_loops.starts(entry.name)
                self._display.show(watch.progress)
            self._display.show(watch.progress)

    def _check_supervisord(self) -> None:
        assert self._supervisord is not None
        if self._supervisord.poll() is not None:
            errors = (self._state.logs / "supervisord.err").read_text(errors="replace")
            raise SupervisorDied(
                f"supervisord ended with status {self._supervisord.returncode}. {errors}".strip(),
                where=str(self._state.logs / "supervisord.log"),
                fix="Start again; what it left has been ended.",
            )

    def _stop(self) -> None:
        with _uninterrupted():
            if self._supervisord is not None and self._supervisord.poll() is None:
                self._display.sentence("stopping")
                self._supervisord.terminate()
                try:
                    self._supervisord.wait(2 * STOP_WAIT_S + _STOP_MARGIN_S)
                except subprocess.TimeoutExpired:
                    self._display.sentence("not everything stopped in time")
            for process in members(self._state):
                self._display.sentence(f"ending what is left: process {process.pid}")
            end_members(self._state)
            self._display.sentence("stopped, nothing is left")


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP interrupt like Ctrl-C while this is open."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """While this is open, signals do not interrupt: the end is bounded and must be complete."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

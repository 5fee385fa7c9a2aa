"""Dagster's code server and daemon beside the pool: what turns batches into runs.

Planned moves are frozen, so the pool stays as the tests have it. There is no traffic store and
there are no pages.
"""

import os
import signal
import subprocess
import time

from benchmarks.batch.processes import batch_runs
from orchestration.allocation.operators.override_record import OverrideRecord
from orchestration.allocation.operators.overrides import Freeze
from tests.end_to_end.pool import Pool
from turntable.supervision.preparation import prepare_instance
from turntable.supervision.programs import environment, programs

_CODE_SERVER = "dagster-code"
_STARTED = (_CODE_SERVER, "dagster-daemon")
_STOP_S = 60.0
_FREEZE_S = 3600.0


class ControlPlane:
    """The processes; a context manager that ends them with all they started."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._environment = environment(pool.fleet, pool.fleet_file, pool.state, os.environ)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "ControlPlane":
        pool = self._pool
        now = time.time()
        freeze = Freeze(made_at=now, until=now + _FREEZE_S, by="a test")
        OverrideRecord.of(pool.state).add(freeze, now=now)
        prepare_instance(pool.fleet, pool.state, self._environment, lambda _sentence: None)
        for program in programs(pool.fleet, pool.fleet_file, pool.state):
            if program.name in _STARTED:
                self._start(program.name, program.command)
        return self

    def __exit__(self, *_error: object) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            else:
                _kill_rest(process.pid)
        now = time.time()
        OverrideRecord.of(self._pool.state).release(None, now=now)

    def kill_batch_run(self) -> bool:
        """End the process of a batch run, as the kernel would for lack of memory; if one goes on.

        Fails when the code server or the daemon has ended.
        """
        for name, process in self._processes.items():
            assert process.poll() is None, f"{name} ended with {process.returncode}"
        code_server = self._processes[_CODE_SERVER]
        pids = batch_runs(code_server.pid, self._pool.state)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return bool(pids)

    def _start(self, name: str, command: tuple[str, ...]) -> None:
        log = (self._pool.state.logs / f"{name}.log").open("ab")
        self._processes[name] = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=self._environment,
        )


def _kill_rest(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return  # all of the group have ended by themselves

"""Server processes of a benchmark: started, waited for, stopped by their process id."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from benchmarks.setting import BenchmarkUnable

T = TypeVar("T")

_STOP_S = 60.0
_LOG_LINES = 20


class Server:
    """One process in a session of its own, its output in a file."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self._command = list(command)
        self._log = log
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self.started_at = float("nan")
        """`time.monotonic()` just before the process was started."""

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self.started_at = time.monotonic()
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            # What has not ended in time is killed with its group, as is whatever it left there.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_S)
        finally:
            _kill_group(self._process.pid)
            self._process.wait()

    @property
    def process_id(self) -> int:
        """Of the process that was started."""
        assert self._process is not None
        return self._process.pid

    def check(self) -> None:
        """Raise BenchmarkUnable, with the last lines of its log, if the process has ended."""
        assert self._process is not None
        status = self._process.poll()
        if status is not None:
            lines = self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
            raise BenchmarkUnable(
                f"{Path(self._command[0]).name} ended with status {status}:\n" + "\n".join(lines),
                where=str(self._log),
                fix="Mend what these lines say.",
            )


def _kill_group(process_id: int) -> None:
    try:
        os.killpg(process_id, signal.SIGKILL)
    except ProcessLookupError:
        return  # all of the group have ended by themselves


def until(condition: Callable[[], T | None], what: str, *, limit_s: float, server: Server) -> T:
    """The first value of `condition` that is not None; BenchmarkUnable after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while (value := condition()) is None:
        server.check()
        if time.monotonic() > deadline:
            raise BenchmarkUnable(
                f"not within {limit_s:.0f} s: {what}",
                where="the benchmark's own servers",
                fix="Run it on an idle machine.",
            )
        time.sleep(0.05)
    return value

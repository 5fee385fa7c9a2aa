"""From started processes to a ready instance: waiting for every program, noticing crash loops."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable

from serving.config import StateFolder
from serving.errors import TurntableError
from turntable.supervision.display import ProgramProgress
from turntable.supervision.programs import Program
from turntable.supervision.readiness import Readiness
from turntable.supervision.supervisord import ProcessInfo, log_file

STARTS_BEFORE_GIVING_UP = 3
"""A program that ends this often before everything is ready will not get ready."""
_ASK_AGAIN_S = 0.5
_LOG_LINES = 25


class StartFailed(TurntableError):
    """A program ends again and again while the instance starts."""


class ReadinessWatch:
    """Asks every program until it is ready, side by side, so that a slow answer delays nobody."""

    def __init__(self, programs: list[Program], ask: Callable[[Program], Readiness]) -> None:
        self._ask = ask
        self._began = time.monotonic()
        self._ended = threading.Event()
        self.progress = [ProgramProgress(program.name) for program in programs]
        self._threads = [
            threading.Thread(target=self._follow, args=(program, entry), daemon=True)
            for program, entry in zip(programs, self.progress, strict=True)
        ]

    def __enter__(self) -> "ReadinessWatch":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()

    @property
    def ready(self) -> bool:
        """Whether every program has been ready."""
        return all(entry.ready_after_s is not None for entry in self.progress)

    def _follow(self, program: Program, entry: ProgramProgress) -> None:
        while not self._ended.is_set():
            answer = self._ask(program)
            if answer.ready:
                entry.ready_after_s = time.monotonic() - self._began
                return
            entry.note = answer.note or entry.note
            self._ended.wait(_ASK_AGAIN_S)


class CrashLoops:
    """Counts the starts of each program from what supervisord says."""

    def __init__(self, state: StateFolder) -> None:
        self._state = state
        self._started_at: dict[str, set[float]] = defaultdict(set)

    def starts(self, name: str) -> int:
        """How often the program has been seen to start."""
        return len(self._started_at[name])

    def look(self, processes: list[ProcessInfo]) -> None:
        """Take note of the processes as they are now. Raises StartFailed on a crash loop."""
        for process in processes:
            # Not by process ids: one that ends at once is seldom there when it is looked at.
            if process.started_at:
                self._started_at[process.name].add(process.started_at)
            started_often = self.starts(process.name) >= STARTS_BEFORE_GIVING_UP
            if (started_often and process.state == "BACKOFF") or process.state == "FATAL":
                raise StartFailed(
                    f"{process.name} does not stay up ({process.description}). "
                    f"Its last lines:\n{self._last_lines(process.name)}\n",
                    where=str(log_file(process.name, self._state)),
                    fix="Mend what these lines say, then start again.",
                )

    def _last_lines(self, name: str) -> str:
        try:
            lines = log_file(name, self._state).read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return "(it wrote nothing)"
        return "\n".join(f"    {line}" for line in lines[-_LOG_LINES:])

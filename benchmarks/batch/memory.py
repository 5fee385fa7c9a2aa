"""Peak memory of processes that come and go, sampled from a thread.

Proportional set sizes: pages that processes share count by share. Reading one makes the process
wait for a moment, so it is read twice a second, and a peak between two samples is missed.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from serving.engine.memory import proportional_bytes

_EVERY_S = 0.5

Processes = Callable[[], Mapping[str, list[int]]]
"""Process ids by what they are called; empty lists for what is not there now."""


@dataclass
class Peaks:
    """The largest samples so far, in bytes; complete when the watch has ended."""

    by_name: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, used_bytes: int) -> None:
        """Count a sample."""
        self.by_name[name] = max(used_bytes, self.by_name.get(name, 0))


@contextmanager
def watched(processes: Processes) -> Iterator[Peaks]:
    """Sample as long as this is open."""
    peaks, stopping = Peaks(), threading.Event()
    problems: list[Exception] = []

    def watch() -> None:
        try:
            while not stopping.wait(_EVERY_S):
                for name, pids in processes().items():
                    if pids:
                        peaks.add(name, sum(map(proportional_bytes, pids)))
        except Exception as error:
            problems.append(error)

    thread = threading.Thread(target=watch, name="memory")
    thread.start()
    try:
        yield peaks
    finally:
        stopping.set()
        thread.join()
    if problems:
        raise problems[0]

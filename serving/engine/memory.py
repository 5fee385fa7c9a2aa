"""How much memory a process really holds, and when that is measured.

It is the proportional set size from Linux' /proc: pages that engines share with the process they
were forked from count by share, so sums over processes are right.
"""

from pathlib import Path

_KIB = 1024


def proportional_bytes(pid: int) -> int:
    """Proportional set size of a process; 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        # Ended, or ending: its memory map cannot be read any more.
        return 0
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * _KIB
    return 0


class MemoryTurns:
    """Which of the regular samples of a host measure memory too.

    Reading a set size walks every page of a process: tens of milliseconds of a core, in which the
    process waits for new pages. So it is done when tiers have changed and come to rest, else every
    `MEASURED_EVERY` samples, and never in the middle of a hotswap.
    """

    MEASURED_EVERY = 10

    def __init__(self) -> None:
        self._seen_changes: int | None = None
        self._measured_changes: int | None = None
        self._samples_since = 0

    def due(self, changes: int, *, swapping: bool) -> bool:
        """Whether this sample measures memory; `changes` counts changes of a tier so far."""
        rested, self._seen_changes = changes == self._seen_changes, changes
        self._samples_since += 1
        wanted = rested and changes != self._measured_changes
        if swapping or not (wanted or self._samples_since >= self.MEASURED_EVERY):
            return False
        self._measured_changes, self._samples_since = changes, 0
        return True

"""How much memory a process really holds: its proportional set size, from Linux' /proc.

Pages that engines share with the process they were forked from count by share, so sums over
processes are right.
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

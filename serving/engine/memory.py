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


def is_resident(address: int, smaps: str) -> bool:
    """Whether the mapping that holds `address` counts as resident, by a text of /proc/PID/smaps.

    Memory that a driver has mapped by itself may not.
    """
    inside = False
    for line in smaps.splitlines():
        first = line.split(maxsplit=1)[0]
        if first == "Rss:" and inside:
            return int(line.split()[1]) > 0
        if "-" in first:
            begin, end = (int(part, 16) for part in first.split("-"))
            inside = begin <= address < end
    return False

"""Whether the kernel counts a piece of memory as this process's, by a text of /proc/PID/smaps.

Pure.

Memory that a driver has mapped by itself may not count, and then the proportional set size of the
process leaves it out.
"""


def is_resident(address: int, smaps: str) -> bool:
    """Whether the mapping that holds `address` counts as resident."""
    inside = False
    for line in smaps.splitlines():
        first = line.split(maxsplit=1)[0]
        if first == "Rss:" and inside:
            return int(line.split()[1]) > 0
        if "-" in first:
            begin, end = (int(part, 16) for part in first.split("-"))
            inside = begin <= address < end
    return False

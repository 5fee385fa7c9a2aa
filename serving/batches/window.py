"""The completion window of a batch: how long it may take."""

import re

LONGEST_S = 24 * 3600
_UNITS_S = {"s": 1, "m": 60, "h": 3600}
_WINDOW = re.compile(r"([1-9][0-9]{0,5})([smh])")


def window_s(text: str) -> int | None:
    """Seconds of `24h`, or of a shorter window such as `6h`, `30m`, `90s`; None: it is not one."""
    found = _WINDOW.fullmatch(text)
    if found is None:
        return None
    seconds = int(found[1]) * _UNITS_S[found[2]]
    return seconds if seconds <= LONGEST_S else None

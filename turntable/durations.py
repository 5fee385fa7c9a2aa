"""Durations as people type and read them: 90s, 30m, 2h, 1d, and sums such as 1h30m."""

import re

import typer

_UNITS_S = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)([dhms])")


def parse_duration_s(text: str) -> float:
    """Seconds of a duration. Raises BadParameter, which says what is taken."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise typer.BadParameter(f"{text!r} is no duration: give 90s, 30m, 2h, 1d or 1h30m")
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)


def in_words(seconds: float) -> str:
    """A duration by its two largest units."""
    left, said = round(seconds), []
    for unit, unit_s in _UNITS_S.items():
        count, left = divmod(left, round(unit_s))
        if count:
            said.append(f"{count} {unit}")
    return " ".join(said[:2]) or "0 s"

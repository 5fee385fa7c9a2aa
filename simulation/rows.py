"""From what policies attained to rows of figures, in the form the benchmarks write."""

from collections.abc import Mapping

from benchmarks.figures import Row, Target
from simulation.attainment import Attainment

OURS, CLAIRVOYANT = "turntable", "clairvoyant"
_NAN = float("nan")


def compared(found: Mapping[str, Attainment], hours: float) -> list[Row]:
    """Every policy on one pool, and what ours is measured by."""
    rows = [row for each in found.values() for row in _of(each, hours)]
    ours, known = found[OURS], found[CLAIRVOYANT]
    rows.append(
        Row(
            "attainment, turntable / clairvoyant",
            _ratio(ours.interactive, known.interactive),
            "ratio",
            Target(">=", 0.97),
        )
    )
    rows += [_recovered(ours, each) for name, each in found.items() if name in _LOSING]
    rows.append(
        Row(
            "moves, turntable / clairvoyant",
            _ratio(ours.moves, known.moves),
            "ratio",
            Target("<=", 1.5),
        )
    )
    return rows


def sized(engines: Mapping[str, int | None], peak: int) -> list[Row]:
    """What pool each policy needs, against dedicated engines for the peak."""
    rows = [Row("engines for 99 %, pinned to the peak", peak, "count")]
    rows += [
        Row(f"engines for 99 %, {name}", _NAN if count is None else count, "count")
        for name, count in engines.items()
    ]
    ours = engines[OURS]
    share = _NAN if ours is None else _ratio(ours, peak)
    return [*rows, Row("engines for 99 %, turntable / pinned to the peak", share, "ratio")]


_LOSING = ("swap on request", "pod autoscaler")


def _of(found: Attainment, hours: float) -> list[Row]:
    name = found.policy
    return [
        Row(f"{name}: interactive attainment", found.interactive, "share"),
        Row(f"{name}: batch requests ended", found.batch, "share"),
        Row(f"{name}: goodput", found.goodput_rps, "1/s"),
        Row(f"{name}: utilisation", found.utilisation, "share"),
        Row(f"{name}: moves", _ratio(found.moves, hours), "1/h"),
        Row(f"{name}: switches within a grant", _ratio(found.switches, hours), "1/h"),
        Row(f"{name}: disturbed requests", found.disturbed, "count"),
    ]


def _recovered(ours: Attainment, other: Attainment) -> Row:
    """Of the attainment that the other policy loses, what ours does not lose."""
    lost = 1.0 - other.interactive
    share = _ratio(ours.interactive - other.interactive, lost)
    figure = f"attainment lost by {other.policy} that turntable does not lose"
    return Row(figure, share, "share", Target(">=", 0.8))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else _NAN

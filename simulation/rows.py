"""From what policies attained to rows of figures, in the form the benchmarks write."""

from collections.abc import Mapping

from benchmarks.figures import Row, Target
from simulation.attainment import Attainment

OURS, CLAIRVOYANT = "turntable", "clairvoyant"
_NAN = float("nan")


MOST_OF_PEAK = {"servegen_48streams": 0.35, "arena27": 0.65}
"""By the trace's name: share of the engines pinned to the peak that ours needs at most."""


def compared(found: Mapping[str, Attainment], hours: float) -> list[Row]:
    """Every policy on one pool, and what ours is measured by."""
    rows = [row for each in found.values() for row in _of(each, hours)]
    ours, known = found[OURS], found[CLAIRVOYANT]
    attained = _ratio(ours.interactive, known.interactive)
    rows.append(Row("attainment, turntable / clairvoyant", attained, "ratio", Target(">=", 0.97)))
    rows += [_recovered(ours, each) for name, each in found.items() if name in _LOSING]
    return [*rows, _moves(ours, known)]


def sized(engines: Mapping[str, int | None], peak: int, trace: str) -> list[Row]:
    """What pool each policy needs, against dedicated engines for the peak."""
    rows = [Row("engines for 99 %, pinned to the peak", peak, "count")]
    rows += [
        Row(f"engines for 99 %, {name}", _NAN if count is None else count, "count")
        for name, count in engines.items()
    ]
    ours, most = engines[OURS], MOST_OF_PEAK.get(trace)
    target = None if most is None else Target("<=", most)
    against = "engines for 99 %, turntable /"
    rows.append(Row(f"{against} pinned to the peak", _share(ours, peak), "ratio", target))
    known = _share(ours, engines[CLAIRVOYANT])
    return [*rows, Row(f"{against} clairvoyant", known, "ratio", Target("<=", 0.99))]


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
    nothing = None if lost else f"{other.policy} loses nothing"
    figure = f"attainment lost by {other.policy} that turntable does not lose"
    return Row(figure, share, "share", Target(">=", 0.8), nothing)


def _moves(ours: Attainment, known: Attainment) -> Row:
    """Planned moves; switches within a grant are none."""
    still = None if known.moves or ours.moves else "neither moves anything"
    ratio = _ratio(ours.moves, known.moves)
    return Row("moves, turntable / clairvoyant", ratio, "ratio", Target("<=", 1.5), still)


def _share(part: int | None, whole: int | None) -> float:
    return _NAN if part is None or whole is None else _ratio(part, whole)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else _NAN

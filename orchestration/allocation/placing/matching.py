"""Matching hosts to wishes for a grant, by a matrix of costs. Pure.

NumPy and SciPy are imported where they are used: it takes half a second, and a plan with a single
move needs neither.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from orchestration.allocation.placing.move_cost import IMPOSSIBLE_S, MoveCost
from orchestration.allocation.placing.spreading import AWAY_S, Spread
from orchestration.allocation.pool import Place

if TYPE_CHECKING:
    import numpy

    Costs = numpy.ndarray[tuple[int, int], numpy.dtype[numpy.float64]]
    """Seconds, a row for every host and a column for every wish."""

Grant = tuple[str, ...]


class Wish(NamedTuple):
    """A grant that a host is looked for, best in one failure domain."""

    grant: Grant
    domain: str | None


def best_host(
    hosts: Sequence[Place], wish: Wish, cost: MoveCost, spread: Spread
) -> dict[str, Grant]:
    """The cheapest host for one wish; none if none can have it."""
    each_s = [_cost_s(host, wish, cost, spread) for host in hosts]
    best = min(range(len(hosts)), key=each_s.__getitem__)
    return {hosts[best].host: wish.grant} if each_s[best] < IMPOSSIBLE_S else {}


def matched(hosts: Sequence[Place], wishes: Sequence[Wish], costs: "Costs") -> dict[str, Grant]:
    """Hosts to wishes at the least cost in all; further columns of `costs` stand for staying."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(costs)
    return {
        hosts[row].host: wishes[column].grant
        for row, column in zip(rows, columns, strict=True)
        if column < len(wishes) and costs[row, column] < IMPOSSIBLE_S
    }


def costs(
    hosts: Sequence[Place], wishes: Sequence[Wish], cost: MoveCost, spread: Spread
) -> "Costs":
    """What every host costs for every wish."""
    import numpy

    grants = list(dict.fromkeys(wish.grant for wish in wishes))
    number = {grant: place for place, grant in enumerate(grants)}
    by_grant = numpy.array([cost.grants_s(host, grants) for host in hosts], dtype=numpy.float64)
    found: Costs = by_grant.reshape(len(hosts), len(grants))[:, [number[w.grant] for w in wishes]]
    if spread.matters:
        here = numpy.array([host.domain or "" for host in hosts])
        best = numpy.array([wish.domain or "" for wish in wishes])
        leaving = numpy.array([spread.leaving_s(host) for host in hosts])
        found += numpy.where(here[:, None] == best[None, :], 0.0, AWAY_S) + leaving[:, None]
    numpy.minimum(found, IMPOSSIBLE_S, out=found)
    return found


def _cost_s(host: Place, wish: Wish, cost: MoveCost, spread: Spread) -> float:
    """One element of `costs`."""
    [grant_s] = cost.grants_s(host, [wish.grant])
    away_s = AWAY_S if spread.matters and host.domain != wish.domain else 0.0
    return min(IMPOSSIBLE_S, grant_s + spread.leaving_s(host) + away_s)

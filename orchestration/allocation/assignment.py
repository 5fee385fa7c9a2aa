"""Assignment: which host gets which grant, at the least cost in all. Pure.

Hosts that have a wanted grant already keep it and are taken out first. What is left is a linear
assignment problem, solved by SciPy (Crouse, "On implementing 2D rectangular assignment
algorithms", IEEE Transactions on Aerospace and Electronic Systems, 2016).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from orchestration.allocation.pool import Place

Grant = tuple[str, ...]
GrantCost = Callable[[Place, Grant], float]
"""What it costs, in seconds, to give a host this grant; infinite where it cannot have it."""

IMPOSSIBLE_S = 1e9
"""In place of infinity, with which the solver would give up as a whole."""


def assign(hosts: Sequence[Place], wanted: Iterable[Grant], cost: GrantCost) -> dict[str, Grant]:
    """The new grant of every host whose grant changes.

    `wanted` has one grant a host at most; with fewer, some hosts keep what they have. Grants
    of the same models in another order are the same.
    """
    slots: dict[frozenset[str], list[Grant]] = defaultdict(list)
    for grant in wanted:
        slots[frozenset(grant)].append(grant)
    groups: dict[frozenset[str], list[Place]] = defaultdict(list)
    for host in hosts:
        groups[frozenset(host.grant)].append(host)
    missing = [grant for key, grants in slots.items() for grant in grants[len(groups[key]) :]]
    if not missing:
        return {}
    candidates, staying = _candidates(groups, slots, Counter(missing), cost)
    return _solve(candidates, staying, missing, cost)


def _candidates(
    groups: dict[frozenset[str], list[Place]],
    slots: dict[frozenset[str], list[Grant]],
    missing: Counter[Grant],
    cost: GrantCost,
) -> tuple[list[Place], Counter[frozenset[str]]]:
    """Hosts that may be given another grant, and how many of each grant's hosts may not.

    Of n hosts that are too many, only the n cheapest for some missing grant can be the ones: any
    other could be exchanged for one of them that stays.
    """
    found, staying = [], Counter[frozenset[str]]()
    for key, hosts in groups.items():
        spare = len(hosts) - len(slots.get(key, ()))
        if spare <= 0:
            continue
        names = {h.host for grant in missing for h in _cheapest(hosts, grant, spare, cost)}
        few = [host for host in hosts if host.host in names]
        found += few
        staying[key] = len(few) - spare
    return found, staying


def _cheapest(hosts: Sequence[Place], grant: Grant, count: int, cost: GrantCost) -> list[Place]:
    return sorted(hosts, key=lambda host: cost(host, grant))[:count]


def _solve(
    hosts: Sequence[Place],
    staying: Counter[frozenset[str]],
    missing: Sequence[Grant],
    cost: GrantCost,
) -> dict[str, Grant]:
    """Hosts to missing grants; a host may also keep its grant where some may stay."""
    if len(missing) == 1:
        best = min(hosts, key=lambda host: cost(host, missing[0]), default=None)
        possible = best is not None and cost(best, missing[0]) < IMPOSSIBLE_S
        return {best.host: missing[0]} if best is not None and possible else {}
    # Importing these takes half a second, which a plan with a single move does not need.
    import numpy
    from scipy.optimize import linear_sum_assignment

    kinds = list(dict.fromkeys(missing))
    by_kind = [[min(cost(host, kind), IMPOSSIBLE_S) for kind in kinds] for host in hosts]
    stay = [
        [0.0 if frozenset(host.grant) == key else IMPOSSIBLE_S for key in staying.elements()]
        for host in hosts
    ]
    column = {kind: number for number, kind in enumerate(kinds)}
    gives = numpy.asarray(by_kind)[:, [column[grant] for grant in missing]]
    matrix = numpy.hstack([gives, numpy.asarray(stay).reshape(len(hosts), -1)])
    rows, columns = linear_sum_assignment(matrix)
    return {
        hosts[row].host: missing[chosen]
        for row, chosen in zip(rows, columns, strict=True)
        if chosen < len(missing) and matrix[row, chosen] < IMPOSSIBLE_S
    }

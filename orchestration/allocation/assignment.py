"""Assignment: which host gets which grant, at the least cost in all. Pure.

Hosts that have a wanted grant already keep it and are taken out first. What is left is a linear
assignment problem, solved by SciPy (Crouse, "On implementing 2D rectangular assignment
algorithms", IEEE Transactions on Aerospace and Electronic Systems, 2016).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from orchestration.allocation.move_cost import IMPOSSIBLE_S, MoveCost
from orchestration.allocation.pool import Place
from orchestration.allocation.spreading import AWAY_S, Spread

Grant = tuple[str, ...]
Models = frozenset[str]
"""Of a grant: those of the same models in another order are the same."""


class Wish(NamedTuple):
    """A grant that a host is looked for, best in one failure domain."""

    grant: Grant
    domain: str | None


class _Choice(NamedTuple):
    """What is to be decided: these hosts get the wishes, but so many of each group stay."""

    hosts: Sequence[Place]
    staying: Counter[Models]
    wishes: Sequence[Wish]


def assign(pool: Sequence[Place], wanted: Iterable[Grant], cost: MoveCost) -> dict[str, Grant]:
    """The new grant of every movable host whose grant changes.

    `wanted` has one grant a movable host at most; with fewer, some hosts keep what they have.
    """
    slots: dict[Models, list[Grant]] = defaultdict(list)
    for grant in wanted:
        slots[frozenset(grant)].append(grant)
    groups: dict[Models, list[Place]] = defaultdict(list)
    for host in pool:
        if host.movable:
            groups[frozenset(host.grant)].append(host)
    missing = [grant for key, grants in slots.items() for grant in grants[len(groups[key]) :]]
    if not missing:
        return {}
    spread = Spread(pool)
    wishes = [Wish(grant, spread.take(grant)) for grant in missing]
    found = _solve(_among_spare(groups, slots, wishes, cost, spread), cost, spread)
    if len(found) < len(missing):
        # A host that keeps its grant may be the only one that can hold what is missing.
        found = _solve(_among_all(groups, slots, wishes), cost, spread)
    return found


def _among_spare(
    groups: Mapping[Models, list[Place]],
    slots: Mapping[Models, list[Grant]],
    wishes: Sequence[Wish],
    cost: MoveCost,
    spread: Spread,
) -> _Choice:
    """Only hosts of groups that are too large are given something else.

    Of a group with n too many, only the n cheapest for some wish can be the ones: any other could
    be exchanged for one of them that stays.
    """
    found, staying = [], Counter[Models]()
    kinds = list(dict.fromkeys(wishes))
    for key, hosts in groups.items():
        spare = len(hosts) - len(slots.get(key, ()))
        if spare <= 0:
            continue
        few = hosts
        if spare * len(kinds) < len(hosts):
            few = _cheapest(hosts, kinds, spare, cost, spread)
        found += few
        staying[key] = len(few) - spare
    return _Choice(found, staying, wishes)


def _among_all(
    groups: Mapping[Models, list[Place]],
    slots: Mapping[Models, list[Grant]],
    wishes: Sequence[Wish],
) -> _Choice:
    hosts = [host for group in groups.values() for host in group]
    stay = {key: min(len(group), len(slots.get(key, ()))) for key, group in groups.items()}
    return _Choice(hosts, Counter(stay), wishes)


def _cheapest(
    hosts: Sequence[Place], kinds: Iterable[Wish], count: int, cost: MoveCost, spread: Spread
) -> list[Place]:
    """The `count` cheapest hosts for each wish, in their order."""
    names: set[str] = set()
    for wish in kinds:
        ordered = sorted(hosts, key=lambda host: _cost_s(host, wish, cost, spread))
        names.update(host.host for host in ordered[:count])
    return [host for host in hosts if host.host in names]


def _cost_s(host: Place, wish: Wish, cost: MoveCost, spread: Spread) -> float:
    away = AWAY_S if wish.domain is not None and host.domain != wish.domain else 0.0
    return min(IMPOSSIBLE_S, cost.grant_s(host, wish.grant) + spread.leaving_s(host) + away)


def _solve(choice: _Choice, cost: MoveCost, spread: Spread) -> dict[str, Grant]:
    """Hosts to wishes that they can have; so many of each group keep their grant."""
    hosts, staying, wishes = choice
    kinds = list(dict.fromkeys(wishes))
    by_kind = [[_cost_s(host, kind, cost, spread) for kind in kinds] for host in hosts]
    if len(wishes) == 1:
        # A single move needs no solver, whose import takes half a second.
        row = min(range(len(hosts)), key=lambda row: by_kind[row][0])
        return {hosts[row].host: wishes[0].grant} if by_kind[row][0] < IMPOSSIBLE_S else {}
    import numpy
    from scipy.optimize import linear_sum_assignment

    column = {kind: number for number, kind in enumerate(kinds)}
    gives = numpy.asarray(by_kind)[:, [column[wish] for wish in wishes]]
    number = {key: place for place, key in enumerate(staying)}
    group = numpy.asarray([number[frozenset(host.grant)] for host in hosts])
    stay = [numpy.where(group == number[key], 0.0, IMPOSSIBLE_S) for key in staying.elements()]
    matrix = numpy.column_stack([gives, *stay])
    rows, columns = linear_sum_assignment(matrix)
    return {
        hosts[row].host: wishes[chosen].grant
        for row, chosen in zip(rows, columns, strict=True)
        if chosen < len(wishes) and matrix[row, chosen] < IMPOSSIBLE_S
    }

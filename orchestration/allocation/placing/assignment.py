"""Assignment: which host gets which grant, at the least cost in all. Pure.

Hosts that have a wanted grant already keep it and are taken out first. What is left is a linear
assignment problem, solved by SciPy (Crouse, "On implementing 2D rectangular assignment
algorithms", IEEE Transactions on Aerospace and Electronic Systems, 2016). Its time grows faster
than its size; large ones are cut into parts that are alike.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from orchestration.allocation.placing.matching import Grant, Wish, best_host, costs, matched
from orchestration.allocation.placing.move_cost import IMPOSSIBLE_S, MoveCost
from orchestration.allocation.placing.spreading import Spread
from orchestration.allocation.pool import Place

Models = frozenset[str]
"""Of a grant: those of the same models in another order are the same."""

LARGE = 800
"""Hosts beyond which the problem is cut into parts of so many."""
SAMPLE = 16
"""Wishes by which it is told, then, which hosts of a group are the cheapest to move."""


class _Group(NamedTuple):
    """Hosts of the same grant, some of which may get another one."""

    hosts: Sequence[Place]
    spare: int


def assign(pool: Sequence[Place], wanted: Iterable[Grant], cost: MoveCost) -> dict[str, Grant]:
    """The new grant of every movable host whose grant changes.

    `wanted` has one grant a movable host at most; with fewer, some hosts keep what they have.
    """
    slots: dict[Models, list[Grant]] = defaultdict(list)
    for grant in wanted:
        slots[frozenset(grant)].append(grant)
    hosts: dict[Models, list[Place]] = defaultdict(list)
    for host in pool:
        if host.movable:
            hosts[frozenset(host.grant)].append(host)
    missing = [grant for key, grants in slots.items() for grant in grants[len(hosts[key]) :]]
    if not missing:
        return {}
    spread = Spread(pool)
    wishes = [Wish(grant, spread.take(grant)) for grant in missing]
    groups = [_Group(group, len(group) - len(slots.get(key, ()))) for key, group in hosts.items()]
    found = _solve([group for group in groups if group.spare > 0], wishes, cost, spread)
    if len(found) < len(missing) and sum(len(group.hosts) for group in groups) <= LARGE:
        # A host that keeps its grant may be the only one that can hold what is missing.
        found = _solve_among_all(groups, [g for grants in slots.values() for g in grants], cost)
    return found


def _solve_among_all(
    groups: Sequence[_Group], wanted: Sequence[Grant], cost: MoveCost
) -> dict[str, Grant]:
    """Every host may get every grant; its own costs a host nothing."""
    hosts = [host for group in groups for host in group.hosts]
    wishes = [Wish(grant, None) for grant in wanted]
    found = matched(hosts, wishes, costs(hosts, wishes, cost, Spread(())))
    had = {host.host: frozenset(host.grant) for host in hosts}
    return {host: grant for host, grant in found.items() if had[host] != frozenset(grant)}


def _solve(
    groups: Sequence[_Group], wishes: Sequence[Wish], cost: MoveCost, spread: Spread
) -> dict[str, Grant]:
    """Hosts to wishes that they can have; of each group as many as it can spare."""
    hosts = [host for group in groups for host in group.hosts]
    if len(wishes) == 1:
        return best_host(hosts, wishes[0], cost, spread)
    if len(hosts) <= LARGE:
        return _solve_exactly(groups, wishes, cost, spread)
    return _solve_in_parts(groups, wishes, cost, spread)


def _solve_exactly(
    groups: Sequence[_Group], wishes: Sequence[Wish], cost: MoveCost, spread: Spread
) -> dict[str, Grant]:
    """At the least cost of all. Hosts that a group cannot spare are matched to staying."""
    import numpy

    hosts = [host for group in groups for host in group.hosts]
    group_of = numpy.repeat(range(len(groups)), [len(group.hosts) for group in groups])
    stay_of = numpy.repeat(range(len(groups)), [len(group.hosts) - group.spare for group in groups])
    staying = numpy.where(group_of[:, None] == stay_of[None, :], 0.0, IMPOSSIBLE_S)
    return matched(hosts, wishes, numpy.hstack([costs(hosts, wishes, cost, spread), staying]))


def _solve_in_parts(
    groups: Sequence[_Group], wishes: Sequence[Wish], cost: MoveCost, spread: Spread
) -> dict[str, Grant]:
    """First the hosts that each group spares, cheapest on average; then who gets what, in parts.

    Every part has its share of each group and of each kind of wish, so that little is lost.
    """
    kinds = list(dict.fromkeys(wishes))
    sample = kinds[:: -(-len(kinds) // SAMPLE)]
    hosts: list[Place] = []
    for group in groups:
        mean_s = costs(group.hosts, sample, cost, spread).mean(axis=1)
        hosts += [group.hosts[row] for row in mean_s.argsort(kind="stable")[: group.spare]]
    parts = -(-len(hosts) // LARGE)
    ordered = sorted(wishes, key=lambda wish: (wish.grant, wish.domain or ""))
    found: dict[str, Grant] = {}
    for part in range(parts):
        some, theirs = hosts[part::parts], ordered[part::parts]
        found |= matched(some, theirs, costs(some, theirs, cost, spread))
    return found

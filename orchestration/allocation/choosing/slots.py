"""Slots: what the movable hosts are to be granted, one slot a host. Pure.

A slot is a seat of one model, or a place among those that are shared. Which host gets which slot
is `assignment`'s matter.
"""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from orchestration.allocation.choosing.exchange import Exchange
from orchestration.allocation.choosing.seats import Rank, Seat, seats, spare_seat
from orchestration.allocation.choosing.sharing import Sharing
from orchestration.allocation.load.need import Need
from orchestration.allocation.placing.move_cost import MoveCost
from orchestration.allocation.pool import Place, held_counts


class Slot(NamedTuple):
    """A grant that one of the movable hosts is to have."""

    grant: tuple[str, ...]
    seat: Seat | None
    """What it is worth; None where the host is shared."""


def slots(
    needs: Mapping[str, Need],
    pool: Sequence[Place],
    sharing: Sharing,
    cost: MoveCost,
    horizon_s: float,
) -> list[Slot]:
    """One for each movable host: minimums, shared hosts, then the most valuable seats.

    Hosts of their own, which sharing leaves to models, count as minimums.

    Hosts that may not be moved have their seats and shared sets already.
    """
    pinned = [place for place in pool if not place.movable]
    movable = [place for place in pool if place.movable]
    taken = held_counts(pinned)
    promised = {name: need.at_least(sharing.own.get(name, 0)) for name, need in needs.items()}
    ranked = seats(promised, held_counts(pool), sharing.models)
    still_open = [seat for seat in ranked if seat.number > taken[seat.model]]
    exchange = Exchange((s for s in still_open if s.held), movable, cost, horizon_s)
    wishes = [seat for seat in still_open if not seat.held]
    for seat in wishes:
        if seat.rank == Rank.MINIMUM:
            exchange.gain(seat)
    shared = [grant for grant in _open_sets(sharing, pinned) if exchange.share(grant)]
    for seat in wishes:
        if seat.rank != Rank.MINIMUM:
            exchange.gain(seat)
    _fill(exchange, needs, taken)
    chosen = sorted(exchange.seats, key=lambda seat: seat.worth, reverse=True)
    return [*(Slot((seat.model,), seat) for seat in chosen), *(Slot(g, None) for g in shared)]


def _open_sets(sharing: Sharing, pinned: Sequence[Place]) -> list[tuple[str, ...]]:
    """Shared sets that no pinned host has."""
    taken = Counter(frozenset(place.grant) for place in pinned if len(place.grant) > 1)
    left = []
    for grant in sharing.grants:
        if taken[frozenset(grant)]:
            taken[frozenset(grant)] -= 1
        else:
            left.append(grant)
    return left


def _fill(exchange: Exchange, needs: Mapping[str, Need], taken: Mapping[str, int]) -> None:
    """Hosts that nobody needs, or with a model over its maximum, go to whom has the fewest."""
    counts = Counter(taken)
    counts.update(seat.model for seat in exchange.seats)
    over = sum(seat.rank is Rank.OVER_MAXIMUM for seat in exchange.seats)
    fewest = [(counts[name], place, name) for place, name in enumerate(needs)]
    heapq.heapify(fewest)
    while fewest and exchange.vacant + over > 0:
        count, place, name = heapq.heappop(fewest)
        if count >= needs[name].model.max_replicas:
            continue
        over -= exchange.vacant <= 0
        if exchange.gain(spare_seat(name, count + 1)):
            heapq.heappush(fewest, (count + 1, place, name))

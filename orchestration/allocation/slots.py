"""Slots: what the movable hosts are to be granted, one slot a host. Pure.

A slot is a seat of one model, or a place among those that are shared. Which host gets which slot
is `assignment`'s matter.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from orchestration.allocation.need import Need
from orchestration.allocation.pool import Place, held_counts
from orchestration.allocation.seats import Rank, Seat, ranked_seats
from orchestration.allocation.sharing import Sharing


class Slot(NamedTuple):
    """A grant that one of the movable hosts is to have."""

    grant: tuple[str, ...]
    seat: Seat | None
    """What it is worth; None where the host is shared."""


def slots(needs: Mapping[str, Need], pool: Sequence[Place], sharing: Sharing) -> list[Slot]:
    """Minimums, then shared hosts, then the most valuable seats: one for each movable host.

    Hosts that may not be moved have their seats and shared sets already.
    """
    pinned = [place for place in pool if not place.movable]
    free = len(pool) - len(pinned)
    seats = _open_seats(needs, pool, pinned, sharing)
    least = sum(seat.rank == Rank.MINIMUM for seat in seats)
    shared = _open_sets(sharing, pinned)[: max(0, free - least)]
    chosen = [Slot((seat.model,), seat) for seat in seats[: free - len(shared)]]
    return [*chosen, *(Slot(grant, None) for grant in shared)]


def _open_seats(
    needs: Mapping[str, Need], pool: Sequence[Place], pinned: Sequence[Place], sharing: Sharing
) -> list[Seat]:
    """Seats that no pinned host has, most valuable first."""
    taken = held_counts(pinned)
    ranked = ranked_seats(needs, held_counts(pool), len(pool), sharing.models)
    return [seat for seat in ranked if seat.number > taken[seat.model]]


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

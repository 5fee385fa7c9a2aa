"""Seats: what the n-th replica of a model is worth, compared with those of all models.

A model's first replica, its second and so on are its seats. Planning is handing the hosts that
are there to the most valuable seats. A seat is worth a rank, then an amount within the rank.
Ranks do not depend on where models are now, but for two things that keep an allocation still:
a held seat is worth `HOLD` more, and a seat nobody needs is worth keeping.
"""

import math
from collections.abc import Collection, Mapping
from enum import IntEnum
from typing import NamedTuple

from orchestration.allocation.demand import ModelDemand
from orchestration.allocation.need import Need

HOLD = 0.25
"""Load, in replicas, that a move must gain beyond what it takes away."""


class Rank(IntEnum):
    """Why a seat is worth having, from the least reason to the best."""

    OVER_MAXIMUM = 0
    UNNEEDED = 1
    KEPT = 2
    BATCH_LOAD = 3
    BATCH_FIRST = 4
    INTERACTIVE_LOAD = 5
    IN_USE = 6
    WAITING = 7
    MINIMUM = 8


class Seat(NamedTuple):
    """The `number`-th replica of `model` (from 1), and its worth."""

    rank: Rank
    amount: float
    held: bool
    model: str
    number: int


def ranked_seats(
    needs: Mapping[str, Need],
    held: Mapping[str, int],
    hosts: int,
    shared: Collection[str] = (),
) -> list[Seat]:
    """Every seat that could matter to a pool of `hosts`, most valuable first.

    `needs` is in the order of the fleet file, `held` is how many replicas each model has now.
    Models of `shared` need no seat beyond their minimum. Ties go to held seats, then to that order.
    """
    seats = []
    for name, need in needs.items():
        now = held.get(name, 0)
        last = max(min(need.model.max_replicas, hosts), now)
        for number in range(1, last + 1):
            rank, amount = _worth(need, number, now)
            if name in shared and Rank.UNNEEDED < rank < Rank.MINIMUM:
                rank, amount = Rank.UNNEEDED, 0.0
            seats.append(Seat(rank, amount, number <= now, name, number))
    order = {name: place for place, name in enumerate(needs)}
    return sorted(seats, key=lambda s: (-s.rank, -s.amount, not s.held, order[s.model], s.number))


def _worth(need: Need, number: int, held: int) -> tuple[Rank, float]:
    """Rank and amount of one seat."""
    is_held = number <= held
    if number <= need.model.min_replicas:
        return Rank.MINIMUM, 1.0
    if number > need.model.max_replicas:
        return Rank.OVER_MAXIMUM, 0.0
    by_load = _by_load(need, number, is_held)
    return max(by_load, _first_seat(need.demand, is_held)) if number == 1 else by_load


def _by_load(need: Need, number: int, is_held: bool) -> tuple[Rank, float]:
    """The worth of one seat by the load that the seats before it leave over."""
    hold = HOLD if is_held else 0.0
    missing = need.interactive - (number - 1) + hold
    if missing > HOLD:
        return Rank.INTERACTIVE_LOAD, min(missing, 1.0 + hold)
    missing = need.missing(number - 1) + hold
    if missing > HOLD:
        return Rank.BATCH_LOAD, min(missing, 1.0 + hold)
    return (Rank.KEPT if is_held else Rank.UNNEEDED), 0.0


def _first_seat(demand: ModelDemand, is_held: bool) -> tuple[Rank, float]:
    """The worth of being there at all for a model in demand."""
    if demand.waiting_interactive and not is_held:
        return Rank.WAITING, float(demand.waiting_interactive)
    if is_held and demand.interactive_present:
        return Rank.IN_USE, 1.0 + math.tanh(demand.waiting_interactive + demand.running_interactive)
    if demand.batch_present and (is_held or demand.waiting_batch):
        return Rank.BATCH_FIRST, HOLD if is_held else 0.0
    return Rank.UNNEEDED, 0.0

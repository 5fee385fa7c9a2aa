"""Seats: what the n-th replica of a model is worth, compared with those of all models.

A model's first replica, its second and so on are its seats. Planning is handing the hosts that
are there to the most valuable seats. A seat is worth a rank, then an amount within the rank.
Ranks do not depend on where models are now, but for two things that keep an allocation still:
a held seat is worth `HOLD` more, and a seat nobody needs is worth keeping.
"""

import math
from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

from orchestration.allocation.demand import ModelDemand
from serving.config import Fleet, ModelSettings

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


def load_replicas(model: ModelSettings, tokens_per_s: float) -> float:
    """Work in units of what one replica does."""
    return tokens_per_s / model.replica_tokens_per_s


def ranked_seats(
    fleet: Fleet, demand: Mapping[str, ModelDemand], held: Mapping[str, int], hosts: int
) -> list[Seat]:
    """Every seat that could matter to a pool of `hosts`, most valuable first.

    `held` is how many replicas each model has now. Ties go to held seats, then to the order of
    the fleet file.
    """
    seats = []
    for model in fleet.models:
        now = held.get(model.name, 0)
        last = max(min(model.max_replicas, hosts), now)
        for number in range(1, last + 1):
            rank, amount = _worth(model, demand[model.name], number, now)
            seats.append(Seat(rank, amount, number <= now, model.name, number))
    order = {model.name: place for place, model in enumerate(fleet.models)}
    return sorted(seats, key=lambda s: (-s.rank, -s.amount, not s.held, order[s.model], s.number))


def _worth(model: ModelSettings, demand: ModelDemand, number: int, held: int) -> tuple[Rank, float]:
    """Rank and amount of one seat."""
    is_held = number <= held
    if number <= model.min_replicas:
        return Rank.MINIMUM, 1.0
    if number > model.max_replicas:
        return Rank.OVER_MAXIMUM, 0.0
    by_load = _by_load(model, demand, number, is_held)
    return max(by_load, _first_seat(demand, is_held)) if number == 1 else by_load


def _by_load(
    model: ModelSettings, demand: ModelDemand, number: int, is_held: bool
) -> tuple[Rank, float]:
    """The worth of one seat by the load that the seats before it leave over."""
    hold = HOLD if is_held else 0.0
    interactive = load_replicas(model, demand.interactive_tokens_per_s)
    missing = interactive - (number - 1) + hold
    if missing > HOLD:
        return Rank.INTERACTIVE_LOAD, min(missing, 1.0 + hold)
    total = interactive + load_replicas(model, demand.batch_tokens_per_s)
    missing = total - (number - 1) + hold
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

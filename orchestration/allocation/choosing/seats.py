"""Seats: what the n-th replica of a model is worth, compared with those of all models.

A model's first replica, its second and so on are its seats. A seat is worth a rank, then an amount
within the rank. Ranks are what is promised (a minimum, that nobody waits for ever, interactive
before batch); amounts are expected violations of service levels avoided by this one replica more,
by the model's weight. Whether a seat is worth a move is `slots`' matter.
"""

from collections.abc import Collection, Mapping
from enum import IntEnum
from typing import NamedTuple

from orchestration.allocation.load.demand import ModelDemand
from orchestration.allocation.load.need import Need

LEAST_LATE = 0.05
"""Late interactive load, in replicas, below which one replica more is not for interactive load."""
LEAST_BATCH = 0.25
"""Batch load, in replicas, below which one replica more is not for batch."""
CAUTION = 1.0
"""Standard deviations of its expected load by which a model that gains might have less, and one
that loses more, and the move still pay: so noise moves nothing."""
BATCH_WORTH = 0.1
"""What batch work done is worth, compared with interactive work in time."""


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
    gain: float
    """Work in time, in replicas, that it adds: what a move is weighed by. Cautiously: for a held
    seat if there is more load than expected, for another if there is less."""

    @property
    def worth(self) -> tuple[Rank, float]:
        """What seats of all models are compared by."""
        return self.rank, self.amount


def seats(
    needs: Mapping[str, Need], held: Mapping[str, int], shared: Collection[str] = ()
) -> list[Seat]:
    """Every seat that is held or that there is a reason for, most valuable first.

    `needs` is in the order of the fleet file, `held` is how many replicas each model has now.
    Models of `shared` need no seat beyond their minimum. Ties go to held seats, then to that order.
    """
    found = []
    for name, need in needs.items():
        now, model = held.get(name, 0), need.model
        wanted = 0 if name in shared else min(model.max_replicas, max(1, need.enough))
        for number in range(1, max(now, wanted, model.min_replicas) + 1):
            seat = _seat(need, number, number <= now, name in shared)
            if seat.held or seat.rank > Rank.KEPT:
                found.append(seat)
    order = {name: place for place, name in enumerate(needs)}
    return sorted(found, key=lambda s: (-s.rank, -s.amount, not s.held, order[s.model], s.number))


def spare_seat(model: str, number: int) -> Seat:
    """A seat that nobody needs, for a host that has none."""
    return Seat(Rank.UNNEEDED, 0.0, False, model, number, 0.0)


def _seat(need: Need, number: int, is_held: bool, shared: bool) -> Seat:
    rank, amount, gain = _worth(need, number, is_held)
    if shared and Rank.UNNEEDED < rank < Rank.MINIMUM:
        rank, amount = Rank.UNNEEDED, 0.0
    return Seat(rank, amount, is_held, need.model.name, number, gain)


def _worth(need: Need, number: int, is_held: bool) -> tuple[Rank, float, float]:
    """Rank, amount and gain of one seat."""
    model = need.model
    late = model.weight * (need.late(number - 1) - need.late(number))
    batch = model.weight * BATCH_WORTH * max(0.0, min(1.0, need.missing(number - 1)))
    beyond = CAUTION if is_held else -CAUTION
    cautious = need.late(number - 1, beyond=beyond) - need.late(number, beyond=beyond)
    gain = model.weight * cautious + batch
    if number <= model.min_replicas:
        return Rank.MINIMUM, model.weight / number, gain
    if number > model.max_replicas:
        return Rank.OVER_MAXIMUM, 0.0, 0.0
    first = _first_seat(need, is_held) if number == 1 else (Rank.UNNEEDED, 0.0)
    return *max(_by_load(need, number, is_held, late, batch), first), gain


def _by_load(
    need: Need, number: int, is_held: bool, late: float, batch: float
) -> tuple[Rank, float]:
    if late > LEAST_LATE * need.model.weight:
        return Rank.INTERACTIVE_LOAD, late
    if need.missing(number - 1) > (0.0 if is_held else LEAST_BATCH):
        return Rank.BATCH_LOAD, batch
    return (Rank.KEPT, late) if is_held else (Rank.UNNEEDED, 0.0)


def _first_seat(need: Need, is_held: bool) -> tuple[Rank, float]:
    """The worth of being there at all for a model in demand."""
    demand, weight = need.demand, need.model.weight
    if demand.waiting_interactive and not is_held:
        return Rank.WAITING, weight * demand.waiting_interactive
    if is_held and demand.interactive_present:
        return Rank.IN_USE, weight * _presence(demand)
    if demand.batch_present and (is_held or demand.waiting_batch):
        return Rank.BATCH_FIRST, weight * float(is_held)
    return Rank.UNNEEDED, 0.0


def _presence(demand: ModelDemand) -> float:
    """1 for a model just used, 2 for one that many use now."""
    present = demand.waiting_interactive + demand.running_interactive
    return 1.0 + present / (1.0 + present)

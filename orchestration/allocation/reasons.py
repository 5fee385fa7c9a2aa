"""Reasons, in words and numbers: why a move is made, and why a model has what it has."""

from collections.abc import Mapping, Sequence

from orchestration.allocation.choosing.seats import Rank, Seat
from orchestration.allocation.choosing.slots import Slot
from orchestration.allocation.load.demand import ModelDemand
from orchestration.allocation.load.need import Need
from orchestration.allocation.pool import Place

HOSTS_NAMED = 12
"""Hosts that a verdict tells about; of a large pool nobody would read more."""


def move(
    slot: Slot, to_model: str, needs: Mapping[str, Need], place: Place, left: Mapping[str, int]
) -> str:
    """Why `place` is given a slot; `left` counts dedicated replicas after it is taken away."""
    gain = _sharing(slot, to_model) if slot.seat is None else _gain(slot.seat, needs[to_model])
    if place.model is None:
        return f"{gain}; {place.host} serves no model of the fleet"
    if place.dedicated_to is None:
        return f"{gain}; {place.host} was shared by {', '.join(place.grant)}"
    giver = needs[place.model]
    return (
        f"{gain}; {place.host} leaves {place.model}, which keeps "
        f"{_count(left[place.model], 'replica')} (minimum {giver.model.min_replicas}) for "
        f"{_load(giver)}"
    )


def _sharing(slot: Slot, to_model: str) -> str:
    return f"{', '.join(slot.grant)} share a host, {to_model} first"


def verdict(
    need: Need, pool: Sequence[Place], before: int, after: int, shared: Sequence[str] = ()
) -> str:
    """Why the model goes from `before` to `after` replicas, or stays.

    `shared` are hosts that may switch to it by themselves.
    """
    model = need.model
    wanted = f"{_load(need)}{_waiting(need.demand)}"
    bounds = f"minimum {model.min_replicas}, maximum {model.max_replicas}"
    if after != before:
        change = f"from {before} to {_count(after, 'replica')}"
        return f"{change} ({bounds}) for {wanted}"
    short = _shortage(need, after)
    if short is None:
        return f"stays at {_count(after, 'replica')} ({bounds}) for {wanted}: enough"
    if shared and model.min_replicas <= after < model.max_replicas:
        return f"stays at {_count(after, 'replica')} ({bounds}) for {wanted}: {_may_switch(shared)}"
    return f"stays at {_count(after, 'replica')} ({bounds}) for {wanted}: {short}; {_hosts(pool)}"


def _may_switch(shared: Sequence[str]) -> str:
    more = f" and {len(shared) - HOSTS_NAMED} more" if len(shared) > HOSTS_NAMED else ""
    return f"{', '.join(shared[:HOSTS_NAMED])}{more} may switch to it"


def _gain(seat: Seat, need: Need) -> str:
    model, demand = need.model, need.demand
    if seat.held:
        return f"{model.name} makes room on another host for a model that fits nowhere else"
    replicas = _count(seat.number - 1, "replica")
    match seat.rank:
        case Rank.MINIMUM if seat.number > model.min_replicas:
            asked = f"asked for {demand.activity or 0:.0%} of the time"
            return f"{model.name} has {replicas} of its own and is {asked}, {_load(need)}"
        case Rank.MINIMUM:
            return f"{model.name} has {replicas}, its minimum is {model.min_replicas}"
        case Rank.WAITING:
            waiting = _count(demand.waiting_interactive, "interactive request")
            return f"{model.name} has {waiting} waiting and no replica"
        case Rank.BATCH_FIRST:
            waiting = _count(demand.waiting_batch, "batch request")
            return f"{model.name} has {waiting} waiting and no replica"
        case Rank.INTERACTIVE_LOAD | Rank.BATCH_LOAD | Rank.IN_USE:
            return f"{model.name} has {replicas} for {_load(need)}"
        case _:
            return f"no model needs the host more than {model.name}"


def _load(need: Need) -> str:
    """The load in replicas, and what a replica does."""
    if not (need.interactive or need.batch):
        return "no load"
    kept = need.kept_from_batch
    squeezed = f", {kept:.2f} kept from batch by the interactive cap" if kept > 0.005 else ""
    return (
        f"a load of {need.interactive + need.batch:.2f} replicas "
        f"({need.interactive:.2f} interactive){squeezed}, each "
        f"{need.capacity.tokens_per_s:.0f} tokens/s {need.capacity.source}"
    )


def _waiting(demand: ModelDemand) -> str:
    if not (demand.waiting_interactive or demand.waiting_batch):
        return ""
    held = f" ({demand.held_batch} of them held)" if demand.held_batch else ""
    return (
        f", {demand.waiting_interactive} interactive and {demand.waiting_batch} batch waiting{held}"
    )


def _shortage(need: Need, replicas: int) -> str | None:
    """What is missing although nothing changes, if anything is."""
    model, demand = need.model, need.demand
    if replicas < model.min_replicas:
        return "below its minimum"
    if replicas == 0 and (demand.waiting_interactive or demand.waiting_batch):
        return "it has none" if model.max_replicas else "its maximum is 0"
    if need.missing(replicas) <= 0.005:
        return None
    if replicas >= model.max_replicas:
        return "at its maximum"
    return "no other model's host is worth more here"


def _hosts(pool: Sequence[Place]) -> str:
    said = [
        f"{place.host} {place.pinned_because or f'serves {place.model}'}"
        for place in pool[:HOSTS_NAMED]
    ]
    if len(pool) > HOSTS_NAMED:
        said.append(f"and {len(pool) - HOSTS_NAMED} more")
    return ", ".join(said)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number or 'no'} {noun}s"

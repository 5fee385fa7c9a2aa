"""Reasons, in words and numbers: why a move is made, and why a model has what it has."""

from collections.abc import Mapping, Sequence

from orchestration.allocation.demand import ModelDemand
from orchestration.allocation.pool import Place
from orchestration.allocation.seats import Rank, Seat, load_replicas
from serving.config import Fleet, ModelSettings


def move(
    seat: Seat,
    model: ModelSettings,
    demand: Mapping[str, ModelDemand],
    place: Place,
    fleet: Fleet,
    left: Mapping[str, int],
) -> str:
    """Why `place` is given the model of `seat`; `left` counts replicas after it is taken away."""
    gain = _gain(seat, model, demand[model.name])
    if place.model is None:
        return f"{gain}; {place.host} serves no model of the fleet"
    giver = fleet.model(place.model)
    return (
        f"{gain}; {place.host} leaves {giver.name}, which keeps "
        f"{_count(left[giver.name], 'replica')} (minimum {giver.min_replicas}) for "
        f"{_load(giver, demand[giver.name])}"
    )


def verdict(
    model: ModelSettings, demand: ModelDemand, pool: Sequence[Place], before: int, after: int
) -> str:
    """Why the model goes from `before` to `after` replicas, or stays."""
    need = f"{_load(model, demand)}{_waiting(demand)}"
    bounds = f"minimum {model.min_replicas}, maximum {model.max_replicas}"
    if after != before:
        change = f"from {before} to {_count(after, 'replica')}"
        return f"{change} ({bounds}) for {need}"
    short = _shortage(model, demand, after)
    if short is None:
        return f"stays at {_count(after, 'replica')} ({bounds}) for {need}: enough"
    return f"stays at {_count(after, 'replica')} ({bounds}) for {need}: {short}; {_hosts(pool)}"


def _gain(seat: Seat, model: ModelSettings, demand: ModelDemand) -> str:
    replicas = _count(seat.number - 1, "replica")
    match seat.rank:
        case Rank.MINIMUM:
            return f"{model.name} has {replicas}, its minimum is {model.min_replicas}"
        case Rank.WAITING:
            waiting = _count(demand.waiting_interactive, "interactive request")
            return f"{model.name} has {waiting} waiting and no replica"
        case Rank.BATCH_FIRST:
            waiting = _count(demand.waiting_batch, "batch request")
            return f"{model.name} has {waiting} waiting and no replica"
        case Rank.INTERACTIVE_LOAD | Rank.BATCH_LOAD | Rank.IN_USE:
            return f"{model.name} has {replicas} for {_load(model, demand)}"
        case _:
            return f"no model needs the host more than {model.name}"


def _load(model: ModelSettings, demand: ModelDemand) -> str:
    interactive = load_replicas(model, demand.interactive_tokens_per_s)
    batch = load_replicas(model, demand.batch_tokens_per_s)
    if not (interactive or batch):
        return "no load"
    return f"a load of {interactive + batch:.2f} replicas ({interactive:.2f} interactive)"


def _waiting(demand: ModelDemand) -> str:
    if not (demand.waiting_interactive or demand.waiting_batch):
        return ""
    return f", {demand.waiting_interactive} interactive and {demand.waiting_batch} batch waiting"


def _shortage(model: ModelSettings, demand: ModelDemand, replicas: int) -> str | None:
    """What is missing although nothing changes, if anything is."""
    if replicas < model.min_replicas:
        return "below its minimum"
    if replicas == 0 and (demand.waiting_interactive or demand.waiting_batch):
        return "it has none" if model.max_replicas else "its maximum is 0"
    total = demand.interactive_tokens_per_s + demand.batch_tokens_per_s
    if load_replicas(model, total) <= replicas + 0.005:
        return None
    if replicas >= model.max_replicas:
        return "at its maximum"
    return "no other model's host is worth more here"


def _hosts(pool: Sequence[Place]) -> str:
    return ", ".join(
        f"{place.host} {place.pinned_because or f'serves {place.model}'}" for place in pool
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number or 'no'} {noun}s"

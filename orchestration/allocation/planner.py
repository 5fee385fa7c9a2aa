"""The planner: from what is seen to a plan. Pure and deterministic.

It puts the steps together and says why: needs, the pool, slots worth having (`slots`, `seats`,
`sharing`), hosts to slots (`assignment`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from analytics.traffic import ModelTraffic
from orchestration.allocation import reasons
from orchestration.allocation.choosing.memory import fits
from orchestration.allocation.choosing.sharing import Sharing, shared_sets
from orchestration.allocation.choosing.slots import Slot, slots
from orchestration.allocation.load.capacity import capacities
from orchestration.allocation.load.demand import NO_OUTLOOK, Outlook, offered_work
from orchestration.allocation.load.need import Need
from orchestration.allocation.operators.overrides import Override, Replicas
from orchestration.allocation.operators.setbacks import NOTHING_AVOIDED, Avoided
from orchestration.allocation.operators.steering import (
    in_force,
    with_counts,
    with_freeze,
    with_pins,
    with_setbacks,
)
from orchestration.allocation.placing.assignment import assign
from orchestration.allocation.placing.matching import Grant
from orchestration.allocation.placing.move_cost import MoveCost
from orchestration.allocation.placing.swap_cost import SwapCost, assumed_swap_cost
from orchestration.allocation.plan import Move, Plan
from orchestration.allocation.pool import Place, awake_counts, held_counts, places
from serving.config import Fleet
from serving.wire import BatchSizeProfile, HostState


def propose(
    fleet: Fleet,
    host_states: Mapping[str, HostState | None],
    traffic: Iterable[ModelTraffic],
    *,
    now: float,
    profiles: Iterable[BatchSizeProfile] = (),
    swapped_at: Mapping[str, float] | None = None,
    outlook: Outlook = NO_OUTLOOK,
    swap_cost: SwapCost = assumed_swap_cost,
    last_plan_id: int = 0,
    trigger: str = "asked for",
    overrides: Sequence[Override] = (),
    avoided: Avoided = NOTHING_AVOIDED,
) -> Plan:
    """The plan for what is seen: a hotswap for every host that should change, and why.

    `host_states` maps host names to states, None for an unreachable host. `profiles` say what a
    replica does, where they were measured. `swapped_at` says when hosts were last given a model,
    for the cooldown. `outlook` is the traffic that is to be expected. `avoided` are hosts and
    models that lately failed together. The plan's id is above `last_plan_id` and above every plan
    a host obeyed.
    """
    rows = list(traffic)
    told = in_force(fleet, overrides, now)
    fleet = with_counts(fleet, told)
    demand = offered_work(fleet, rows, host_states, outlook)
    capacity = capacities(fleet, profiles, host_states, rows)
    seen_pool = places(fleet, host_states, demand, now=now, swapped_at=swapped_at or {})
    pool, pin_moves = with_pins(with_setbacks(seen_pool, avoided), host_states, told)
    fleet, pool = with_freeze(fleet, pool, told)
    needs = {
        model.name: Need(model=model, demand=demand[model.name], capacity=capacity[model.name])
        for model in fleet.models
    }
    sharing = Sharing()
    if fleet.allocation.time_sharing:
        sharing = shared_sets(needs, pool, fits(fleet, host_states))
    cost = MoveCost(swap_cost)
    chosen = slots(needs, pool, sharing, cost, fleet.allocation.horizon_s)
    granted = assign(pool, [slot.grant for slot in chosen], cost)
    moves = [*pin_moves, *_moves(needs, pool, chosen, granted, cost)]
    after = _after(pool, granted, moves)
    replicas = awake_counts(after)
    return Plan(
        plan_id=_next_id(last_plan_id, host_states.values()),
        made_at=now,
        trigger=trigger,
        moves=tuple(moves),
        grants={place.host: place.grant if place.serves else () for place in after},
        regrants=_regrants(seen_pool, after, moves),
        replicas={model.name: replicas[model.name] for model in fleet.models},
        verdicts=_verdicts(needs, pool, after, told, avoided),
        demand=demand,
        capacity=capacity,
        overrides=told,
        immovable={p.host: p.pinned_because for p in pool if p.pinned_because is not None},
    )


def _next_id(last_plan_id: int, states: Iterable[HostState | None]) -> int:
    return 1 + max([last_plan_id, *(state.plan_id for state in states if state is not None)])


def _verdicts(
    needs: Mapping[str, Need],
    pool: Sequence[Place],
    after: Sequence[Place],
    overrides: Sequence[Override],
    avoided: Avoided,
) -> dict[str, str]:
    """For every model, why it gets, keeps, gives up or does not get replicas."""
    held, replicas = awake_counts(pool), awake_counts(after)
    shared: dict[str, list[str]] = defaultdict(list)
    for place in after:
        for name in place.grant if len(place.grant) > 1 else ():
            shared[name].append(place.host)
    return {
        name: reasons.verdict(need, pool, held[name], replicas[name], shared[name])
        + _told(name, overrides, avoided)
        for name, need in needs.items()
    }


def _told(model: str, overrides: Iterable[Override], avoided: Avoided) -> str:
    """What an operator's override and failed hotswaps add to a verdict."""
    held = [f"; {o.words}" for o in overrides if isinstance(o, Replicas) and o.model == model]
    failed = [f"; {words}" for (_, other), words in avoided.pairs.items() if other == model]
    return "".join([*held, *failed])


def _moves(
    needs: Mapping[str, Need],
    pool: Sequence[Place],
    chosen: Iterable[Slot],
    granted: Mapping[str, Grant],
    cost: MoveCost,
) -> list[Move]:
    """A hotswap for every host whose model is outside its new grant, most valuable slots first."""
    leaving: dict[Grant, list[Place]] = defaultdict(list)
    counts = held_counts(pool)
    for place in pool:
        if place.host in granted and place.model not in granted[place.host]:
            leaving[granted[place.host]].append(place)
    moves = []
    for slot in sorted(chosen, key=_is_held):
        if not leaving[slot.grant]:
            continue
        place = leaving[slot.grant].pop(0)
        if place.dedicated_to is not None:
            counts[place.dedicated_to] -= 1
        to_model = _first_awake(slot.grant, needs, place, cost)
        why = reasons.move(slot, to_model, needs, place, counts)
        moves.append(
            Move(
                host=place.host,
                from_model=place.model,
                to_model=to_model,
                reason=why,
                grant=(to_model, *(name for name in slot.grant if name != to_model)),
            )
        )
    return moves


def _is_held(slot: Slot) -> bool:
    """Such a seat moves only to make room: who gains comes first."""
    return slot.seat is not None and slot.seat.held


def _first_awake(grant: Grant, needs: Mapping[str, Need], place: Place, cost: MoveCost) -> str:
    """The model of a grant to wake first: one that is waited for, else the cheapest to wake."""
    return min(
        grant,
        key=lambda name: (-needs[name].demand.waiting_interactive, cost.swap_s(place, name)),
    )


def _regrants(
    before: Iterable[Place], after: Iterable[Place], moves: Iterable[Move]
) -> tuple[str, ...]:
    """Hosts that get another grant without being moved."""
    moved = {move.host for move in moves}
    pairs = zip(before, after, strict=True)
    other = {a.host for b, a in pairs if frozenset(b.grant) != frozenset(a.grant)}
    return tuple(sorted(other - moved))


def _after(
    pool: Sequence[Place], granted: Mapping[str, Grant], moves: Iterable[Move]
) -> list[Place]:
    """The pool once the grants are given and the moves are made."""
    made = {move.host: move for move in moves}
    return [
        _granted(place, made.get(place.host), granted.get(place.host, place.grant))
        if place.host in granted or place.host in made
        else place
        for place in pool
    ]


def _granted(place: Place, move: Move | None, grant: Grant) -> Place:
    if move is None:
        return msgspec.structs.replace(place, grant=grant)
    return msgspec.structs.replace(place, grant=move.grant, model=move.to_model, serves=True)

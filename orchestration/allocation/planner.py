"""The planner: from what is seen to a plan. Pure and deterministic.

It puts the steps together and says why: needs, the pool, slots worth having (`slots`, `seats`,
`sharing`), hosts to slots (`assignment`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from analytics.traffic import ModelTraffic
from orchestration.allocation import reasons
from orchestration.allocation.assignment import Grant, assign
from orchestration.allocation.capacity import capacities
from orchestration.allocation.demand import offered_work
from orchestration.allocation.need import Need
from orchestration.allocation.plan import Move, Plan
from orchestration.allocation.pool import Place, awake_counts, held_counts, places
from orchestration.allocation.sharing import Sharing, shared_sets
from orchestration.allocation.slots import Slot, slots
from orchestration.allocation.swap_cost import SwapCost, assumed_swap_cost
from serving.config import Fleet
from serving.wire import BatchSizeProfile, HostState

REGRANT_S = 0.01
"""Cost of another grant without a swap: what is right already stays."""
DISTURBED_INTERACTIVE_S, DISTURBED_BATCH_S = 1.0, 0.1
"""Cost of a running request that goes elsewhere."""


def propose(
    fleet: Fleet,
    host_states: Mapping[str, HostState | None],
    traffic: Iterable[ModelTraffic],
    *,
    now: float,
    profiles: Iterable[BatchSizeProfile] = (),
    swapped_at: Mapping[str, float] | None = None,
    swap_cost: SwapCost = assumed_swap_cost,
    last_plan_id: int = 0,
    trigger: str = "asked for",
) -> Plan:
    """The plan for what is seen: a hotswap for every host that should change, and why.

    `host_states` maps host names to states, None for an unreachable host. `profiles` say what a
    replica does, where they were measured. `swapped_at` says when hosts were last given a model,
    for the cooldown. The plan's id is above `last_plan_id` and
    above every plan a host obeyed.
    """
    rows = list(traffic)
    demand = offered_work(fleet, rows, host_states)
    capacity = capacities(fleet, profiles, host_states, rows)
    needs = {
        model.name: Need(model=model, demand=demand[model.name], capacity=capacity[model.name])
        for model in fleet.models
    }
    pool = places(fleet, host_states, demand, now=now, swapped_at=swapped_at or {})
    sharing = shared_sets(fleet, needs, pool) if fleet.allocation.time_sharing else Sharing()
    chosen = slots(needs, pool, sharing)
    granted = _assign(pool, chosen, swap_cost)
    moves = _moves(needs, pool, chosen, granted, swap_cost)
    after = _after(pool, granted, moves)
    held, replicas = awake_counts(pool), awake_counts(after)
    seen = [state.plan_id for state in host_states.values() if state is not None]
    return Plan(
        plan_id=1 + max([last_plan_id, *seen]),
        made_at=now,
        trigger=trigger,
        moves=tuple(moves),
        grants={place.host: place.grant if place.serves else () for place in after},
        regrants=tuple(sorted(granted.keys() - {move.host for move in moves})),
        replicas={model.name: replicas[model.name] for model in fleet.models},
        verdicts={
            name: reasons.verdict(need, pool, held[name], replicas[name])
            for name, need in needs.items()
        },
        demand=demand,
        capacity=capacity,
    )


def _assign(pool: Sequence[Place], chosen: Iterable[Slot], swap_cost: SwapCost) -> dict[str, Grant]:
    """The new grants of the movable hosts whose grant changes."""

    def cost(place: Place, grant: Grant) -> float:
        if place.model in grant:
            return REGRANT_S
        swap_s = min(_swap_s(place, model, swap_cost) for model in grant)
        disturbed = place.interactive * DISTURBED_INTERACTIVE_S + place.batch * DISTURBED_BATCH_S
        return swap_s + disturbed

    movable = [place for place in pool if place.movable]
    return assign(movable, [slot.grant for slot in chosen], cost)


def _swap_s(place: Place, model: str, swap_cost: SwapCost) -> float:
    return swap_cost(place.host, model, place.tiers.get(model, "absent"))


def _moves(
    needs: Mapping[str, Need],
    pool: Sequence[Place],
    chosen: Iterable[Slot],
    granted: Mapping[str, Grant],
    swap_cost: SwapCost,
) -> list[Move]:
    """A hotswap for every host whose model is outside its new grant, most valuable slots first."""
    leaving: dict[Grant, list[Place]] = defaultdict(list)
    counts = held_counts(pool)
    for place in pool:
        if place.host in granted and place.model not in granted[place.host]:
            leaving[granted[place.host]].append(place)
    moves = []
    for slot in chosen:
        if not leaving[slot.grant] or (slot.seat is not None and slot.seat.held):
            continue
        place = leaving[slot.grant].pop(0)
        if place.dedicated_to is not None:
            counts[place.dedicated_to] -= 1
        to_model = _first_awake(slot.grant, needs, place, swap_cost)
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


def _first_awake(grant: Grant, needs: Mapping[str, Need], place: Place, swap_cost: SwapCost) -> str:
    """The model of a grant to wake first: one that is waited for, else the cheapest to wake."""
    return min(
        grant,
        key=lambda name: (-needs[name].demand.waiting_interactive, _swap_s(place, name, swap_cost)),
    )


def _after(
    pool: Sequence[Place], granted: Mapping[str, Grant], moves: Iterable[Move]
) -> list[Place]:
    """The pool once the grants are given and the moves are made."""
    made = {move.host: move for move in moves}
    after = []
    for place in pool:
        grant, model, serves = granted.get(place.host, place.grant), place.model, place.serves
        if place.host in made:
            grant, model, serves = made[place.host].grant, made[place.host].to_model, True
        after.append(msgspec.structs.replace(place, grant=grant, model=model, serves=serves))
    return after

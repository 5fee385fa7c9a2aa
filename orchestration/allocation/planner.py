"""The planner: seats to hosts, at the least swap cost. Pure and deterministic.

The most valuable seats get the movable hosts; what is already right stays; what is left over is
matched, host by host, to where a swap is cheapest.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from analytics.traffic import ModelTraffic
from orchestration.allocation import reasons
from orchestration.allocation.capacity import capacities
from orchestration.allocation.demand import offered_work
from orchestration.allocation.need import Need
from orchestration.allocation.overrides import Override, Replicas
from orchestration.allocation.plan import Move, Plan
from orchestration.allocation.pool import Place, held_counts, places
from orchestration.allocation.seats import Seat, ranked_seats
from orchestration.allocation.setbacks import NOTHING_AVOIDED, Avoided
from orchestration.allocation.steering import in_force, with_counts, with_freeze, with_pins
from serving.config import Fleet
from serving.wire import BatchSizeProfile, HostState

SWAP_COST = {"awake": 0, "asleep": 1, "parked": 2, "disk": 3, "absent": 4}
"""Order of cheapness of waking a model from each residency tier."""


def propose(
    fleet: Fleet,
    host_states: Mapping[str, HostState | None],
    traffic: Iterable[ModelTraffic],
    *,
    now: float,
    profiles: Iterable[BatchSizeProfile] = (),
    swapped_at: Mapping[str, float] | None = None,
    last_plan_id: int = 0,
    trigger: str = "asked for",
    overrides: Sequence[Override] = (),
    avoided: Avoided = NOTHING_AVOIDED,
) -> Plan:
    """The plan for what is seen: a hotswap for every host that should change, and why.

    `host_states` maps host names to states, None for an unreachable host. `profiles` say what a
    replica does, where they were measured. `swapped_at` says when hosts were last given a model,
    for the cooldown. `avoided` are hosts and models that lately failed together. The plan's id is
    above `last_plan_id` and above every plan a host obeyed.
    """
    rows = list(traffic)
    told = in_force(fleet, overrides, now)
    fleet = with_counts(fleet, told)
    demand = offered_work(fleet, rows, host_states)
    capacity = capacities(fleet, profiles, host_states, rows)
    pool = places(fleet, host_states, demand, now=now, swapped_at=swapped_at or {})
    pool, pin_moves = with_pins(pool, host_states, told)
    fleet, pool = with_freeze(fleet, pool, told)
    needs = {
        model.name: Need(model=model, demand=demand[model.name], capacity=capacity[model.name])
        for model in fleet.models
    }
    held = held_counts(pool)
    chosen = _choose(needs, pool, held)
    moves = [*pin_moves, *_assign(needs, pool, held, chosen, avoided)]
    seen = [state.plan_id for state in host_states.values() if state is not None]
    after = _after(pool, moves)
    replicas = held_counts(after)
    return Plan(
        plan_id=1 + max([last_plan_id, *seen]),
        made_at=now,
        trigger=trigger,
        moves=tuple(moves),
        grants={p.host: (p.model,) if p.serves and p.model else () for p in after},
        replicas={model.name: replicas[model.name] for model in fleet.models},
        verdicts={
            name: reasons.verdict(need, pool, held[name], replicas[name])
            + _told(name, told, avoided)
            for name, need in needs.items()
        },
        demand=demand,
        capacity=capacity,
        overrides=told,
        immovable={p.host: p.pinned_because for p in pool if p.pinned_because is not None},
    )


def _told(model: str, overrides: Iterable[Override], avoided: Avoided) -> str:
    """What an operator's override and failed hotswaps add to a verdict."""
    held = [f"; {o.words}" for o in overrides if isinstance(o, Replicas) and o.model == model]
    failed = [f"; {words}" for (_, other), words in avoided.pairs.items() if other == model]
    return "".join([*held, *failed])


def _choose(
    needs: Mapping[str, Need], pool: Sequence[Place], held: Mapping[str, int]
) -> list[Seat]:
    """The most valuable seats, one for each movable host; pinned hosts keep theirs anyway."""
    pinned = held_counts(place for place in pool if not place.movable)
    free = sum(place.movable for place in pool)
    seats = ranked_seats(needs, held, hosts=len(pool))
    return [seat for seat in seats if seat.number > pinned[seat.model]][:free]


def _assign(
    needs: Mapping[str, Need],
    pool: Sequence[Place],
    held: Mapping[str, int],
    chosen: Sequence[Seat],
    avoided: Avoided,
) -> list[Move]:
    """Moves that turn the movable hosts' models into the chosen seats' models."""
    counts = Counter(held)
    surplus = _surplus(pool, chosen)
    candidates = [place for place in pool if place.movable]
    moves = []
    for seat in chosen:
        spare = [
            p
            for p in candidates
            if (p.model is None or surplus[p.model] > 0)
            and avoided.because(p.host, seat.model) is None
        ]
        if seat.held or not spare:
            continue
        place = min(spare, key=lambda p: _cost(p, seat.model))
        candidates.remove(place)
        if place.model is not None:
            surplus[place.model] -= 1
            counts[place.model] -= 1
        why = reasons.move(seat, needs, place, counts)
        moves.append(Move(host=place.host, from_model=place.model, to_model=seat.model, reason=why))
    return moves


def _surplus(pool: Sequence[Place], chosen: Iterable[Seat]) -> Counter[str]:
    """How many movable hosts of each model are not wanted any more."""
    surplus = held_counts(place for place in pool if place.movable)
    surplus.subtract(seat.model for seat in chosen if seat.held)
    return surplus


def _cost(place: Place, model: str) -> tuple[bool, int, tuple[int, int]]:
    """Cheapest first: hosts that serve nothing, then by the model's tier there, then less busy."""
    return (
        place.model is not None,
        SWAP_COST[place.tiers.get(model, "absent")],
        place.busyness,
    )


def _after(pool: Sequence[Place], moves: Iterable[Move]) -> list[Place]:
    """The pool once the moves are made."""
    to = {move.host: move.to_model for move in moves}
    return [
        Place(
            host=place.host,
            model=to.get(place.host, place.model),
            movable=place.movable,
            serves=place.serves or place.host in to,
            pinned_because=place.pinned_because,
        )
        for place in pool
    ]

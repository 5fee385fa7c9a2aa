"""What overrides and failures do to a plan: they change the fleet and pool it is made from. Pure.

A held model has one number for minimum and maximum. A pinned host is taken to have its grant
already, and is moved there whatever the demand. A freeze makes every host immovable; when a
minimum is missing, models below theirs may still gain, and no other. What lately failed on a host
is, for its pause, what that host cannot hold.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from orchestration.allocation.operators.overrides import Freeze, Override, Pin, Replicas, active
from orchestration.allocation.operators.setbacks import NOTHING_AVOIDED, Avoided
from orchestration.allocation.plan import Move
from orchestration.allocation.pool import Place, held_counts
from serving.config import Fleet
from serving.wire import HostState


def in_force(fleet: Fleet, overrides: Sequence[Override], now: float) -> tuple[Override, ...]:
    """The overrides that count at `now`; not those of hosts or models that the fleet file lost."""
    if not overrides:
        return ()
    hosts = {host.name for host in fleet.hosts}
    models = {model.name for model in fleet.models}
    return tuple(o for o in active(overrides, now) if _is_known(o, hosts, models))


def with_counts(fleet: Fleet, overrides: Iterable[Override]) -> Fleet:
    """The fleet with the numbers of replicas that operators hold models at."""
    counts = {o.model: o.count for o in overrides if isinstance(o, Replicas)}
    return _bounded(fleet, {name: (count, count) for name, count in counts.items()})


def with_setbacks(pool: Sequence[Place], avoided: Avoided) -> list[Place]:
    """The pool in which no host can be given what lately failed; hosts keep what they have."""
    if avoided == NOTHING_AVOIDED:
        return list(pool)
    failing = {*avoided.models, *(model for _, model in avoided.pairs)}
    steered = []
    for place in pool:
        reasons = {m: avoided.because(place.host, m) for m in failing - {place.model, *place.grant}}
        found = {model: why for model, why in sorted(reasons.items()) if why is not None}
        steered.append(replace(place, excluded={**place.excluded, **found}) if found else place)
    return steered


def with_pins(
    pool: Sequence[Place],
    states: Mapping[str, HostState | None],
    overrides: Iterable[Override],
) -> tuple[list[Place], list[Move]]:
    """The pool with pinned hosts where they belong, and the moves that bring them there.

    A host that does not serve now, or is swapping, is left alone until it serves.
    """
    pins = {o.host: o for o in overrides if isinstance(o, Pin)}
    if not pins:
        return list(pool), []
    steered, moves = [], []
    for place in pool:
        pin, state = pins.get(place.host), states.get(place.host)
        if pin is None or state is None or not _settled(state):
            steered.append(place)
            continue
        pinned, move = _pinned(place, pin, state)
        steered.append(pinned)
        moves += [move] if move is not None else []
    return steered, moves


def with_freeze(
    fleet: Fleet, pool: Sequence[Place], overrides: Iterable[Override]
) -> tuple[Fleet, list[Place]]:
    """Fleet and pool in which nothing can move but what restores a minimum."""
    freeze = next((o for o in overrides if isinstance(o, Freeze)), None)
    if freeze is None:
        return fleet, list(pool)
    because = f"is frozen {freeze.ending}"
    held = held_counts(pool)
    missing = sum(max(0, m.min_replicas - held[m.name]) for m in fleet.models)
    if not missing:
        return fleet, [_fixed(place, because) if place.movable else place for place in pool]
    bounds = {m.name: (m.min_replicas, max(held[m.name], m.min_replicas)) for m in fleet.models}
    steered = [
        _fixed(place, because) if place.movable and len(place.grant) > 1 else place
        for place in pool
    ]
    fleet = _without_new_sets(_bounded(fleet, bounds))
    # Shared hosts give one up only where the others cannot spare enough.
    return fleet, steered if _spare(fleet, steered) >= missing else list(pool)


def _without_new_sets(fleet: Fleet) -> Fleet:
    """No host becomes a shared one; those that are stay so."""
    allocation = fleet.allocation.model_copy(update={"time_sharing": False})
    return fleet.model_copy(update={"allocation": allocation})


def _spare(fleet: Fleet, pool: Sequence[Place]) -> int:
    """Movable hosts that no minimum needs where they are."""
    least = {model.name: model.min_replicas for model in fleet.models}
    staying = held_counts(place for place in pool if not place.movable)
    spare = 0
    for place in pool:
        if place.movable:
            model = place.dedicated_to
            needed = model is not None and staying[model] < least.get(model, 0)
            spare += not needed
            staying[model or ""] += needed
    return spare


def _fixed(place: Place, because: str, **changed: Any) -> Place:
    return replace(place, movable=False, pinned_because=because, **changed)


def _is_known(override: Override, hosts: set[str], models: set[str]) -> bool:
    if isinstance(override, Pin):
        return override.host in hosts and models.issuperset(override.grant)
    return not isinstance(override, Replicas) or override.model in models


def _pinned(place: Place, pin: Pin, state: HostState) -> tuple[Place, Move | None]:
    """A pinned host with its grant; the move to it, if the host has to change for it."""
    because = f"is pinned to {', '.join(pin.grant)} {pin.ending}"
    has_it = state.awake_model in pin.grant
    model = state.awake_model if has_it and state.awake_model else pin.grant[0]
    failed = None if has_it else place.excluded.get(model)
    if failed is not None:
        return _fixed(place, f"{because}: {failed}"), None
    grant = (model, *(name for name in pin.grant if name != model))
    pinned = _fixed(place, because, model=model, serves=True, grant=grant)
    if has_it:
        return pinned, None
    return pinned, Move(
        host=place.host, from_model=place.model, to_model=model, reason=pin.words, grant=grant
    )


def _settled(state: HostState) -> bool:
    return state.phase == "serving" and state.swap_target is None


def _bounded(fleet: Fleet, bounds: Mapping[str, tuple[int, int]]) -> Fleet:
    """The fleet with other minimums and maximums for the models of `bounds`."""
    if not bounds:
        return fleet
    models = [
        model.model_copy(
            update=dict(zip(("min_replicas", "max_replicas"), bounds[model.name], strict=True))
        )
        if model.name in bounds
        else model
        for model in fleet.models
    ]
    return fleet.model_copy(update={"models": models})

"""What overrides do to a plan: they change the fleet and the pool that it is made from. Pure.

A held model has one number for minimum and maximum. A pinned host is taken to have its grant
already, and is moved there whatever the demand. A freeze makes every host immovable; when a minimum
is missing, models below theirs may still gain, and no other.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from orchestration.allocation.overrides import Freeze, Override, Pin, Replicas, active
from orchestration.allocation.plan import Move
from orchestration.allocation.pool import Place, held_counts
from serving.config import Fleet
from serving.wire import HostState


def in_force(fleet: Fleet, overrides: Iterable[Override], now: float) -> tuple[Override, ...]:
    """The overrides that count at `now`; not those of hosts or models that the fleet file lost."""
    hosts = {host.name for host in fleet.hosts}
    models = {model.name for model in fleet.models}
    return tuple(o for o in active(overrides, now) if _is_known(o, hosts, models))


def with_counts(fleet: Fleet, overrides: Iterable[Override]) -> Fleet:
    """The fleet with the numbers of replicas that operators hold models at."""
    counts = {o.model: o.count for o in overrides if isinstance(o, Replicas)}
    return _bounded(fleet, {name: (count, count) for name, count in counts.items()})


def with_pins(
    pool: Sequence[Place], states: Mapping[str, HostState | None], overrides: Iterable[Override]
) -> tuple[list[Place], list[Move]]:
    """The pool with pinned hosts where they belong, and the moves that bring them there.

    A host that does not serve now, or is swapping, is left alone until it serves.
    """
    pins = {o.host: o for o in overrides if isinstance(o, Pin)}
    steered, moves = [], []
    for place in pool:
        pin, state = pins.get(place.host), states.get(place.host)
        if pin is None or state is None or not _settled(state):
            steered.append(place)
            continue
        model = state.awake_model if state.awake_model in pin.grant else pin.grant[0]
        steered.append(
            replace(place, model=model, movable=False, serves=True, pinned_because=_about(pin))
        )
        if model != state.awake_model:
            moves.append(
                Move(host=place.host, from_model=place.model, to_model=model, reason=pin.words)
            )
    return steered, moves


def with_freeze(
    fleet: Fleet, pool: Sequence[Place], overrides: Iterable[Override]
) -> tuple[Fleet, list[Place]]:
    """Fleet and pool in which nothing can move but what restores a minimum."""
    freeze = next((o for o in overrides if isinstance(o, Freeze)), None)
    if freeze is None:
        return fleet, list(pool)
    held = held_counts(pool)
    if any(held[model.name] < model.min_replicas for model in fleet.models):
        bounds = {m.name: (m.min_replicas, max(held[m.name], m.min_replicas)) for m in fleet.models}
        return _bounded(fleet, bounds), list(pool)
    because = f"is frozen {freeze.ending}"
    return fleet, [
        replace(place, movable=False, pinned_because=because) if place.movable else place
        for place in pool
    ]


def _is_known(override: Override, hosts: set[str], models: set[str]) -> bool:
    if isinstance(override, Pin):
        return override.host in hosts and models.issuperset(override.grant)
    return not isinstance(override, Replicas) or override.model in models


def _settled(state: HostState) -> bool:
    return state.phase == "serving" and state.swap_target is None


def _about(pin: Pin) -> str:
    return f"is pinned to {', '.join(pin.grant)} {pin.ending}"


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

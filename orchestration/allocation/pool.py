"""The pool as the planner sees it: which hosts may be given another model, and which may not."""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from orchestration.allocation.demand import ModelDemand
from serving.config import Fleet, HostSettings
from serving.wire import HostState, Tier


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One host, read for planning."""

    host: str
    model: str | None
    """The model it serves, is being given, or starts with; None if that is none of the fleet's."""
    movable: bool
    serves: bool
    """It is a replica now, or will be in a moment without a new decision."""
    pinned_because: str | None
    """Why it is not movable, in words."""
    grant: tuple[str, ...] = ()
    """What it may have awake as far as is known; several: it is shared."""
    domain: str | None = None
    """What it fails together with."""
    excluded: Mapping[str, str] = {}
    """Models that it cannot be given, and why."""
    tiers: dict[str, Tier] = {}
    interactive: int = 0
    batch: int = 0

    @property
    def busyness(self) -> tuple[int, int]:
        """What is disturbed by taking the host away: interactive requests, then batch."""
        return (self.interactive, self.batch)

    @property
    def dedicated_to(self) -> str | None:
        """The one model it is there for; None if it serves nothing, or is shared."""
        return self.model if self.serves and len(self.grant) <= 1 else None


def places(
    fleet: Fleet,
    states: Mapping[str, HostState | None],
    demand: Mapping[str, ModelDemand],
    *,
    now: float,
    swapped_at: Mapping[str, float],
) -> list[Place]:
    """Every host of the fleet, in its order. A host without a state is unreachable.

    A host just given a model keeps it for the cooldown while somebody wants that model: an idle
    host is free at once. A model below its minimum ends every cooldown: a promise outweighs calm.
    """
    cooldown_s = fleet.allocation.cooldown_s
    pool = _places(fleet, states, demand, now, swapped_at, cooldown_s)
    held = held_counts(pool)
    if any(held[model.name] < model.min_replicas for model in fleet.models):
        pool = _places(fleet, states, demand, now, swapped_at, cooldown_s=0.0)
    return _with_limits(fleet, pool)


def _with_limits(fleet: Fleet, pool: list[Place]) -> list[Place]:
    """The pool with what each host cannot hold, and what it fails together with."""
    by_kind: dict[object, dict[str, str]] = {}
    limited = []
    for host, place in zip(fleet.hosts, pool, strict=True):
        memory = (host.host_memory_gib, host.device_memory_gib)
        kind = (host.accelerator, len(host.devices), *memory)
        if kind not in by_kind:
            reasons = {model.name: host.why_not(model) for model in fleet.models}
            by_kind[kind] = {name: why for name, why in reasons.items() if why is not None}
        excluded = by_kind[kind]
        if excluded or host.failure_domain is not None:
            place = msgspec.structs.replace(place, excluded=excluded, domain=host.failure_domain)  # noqa: PLW2901
        limited.append(place)
    return limited


def _places(
    fleet: Fleet,
    states: Mapping[str, HostState | None],
    demand: Mapping[str, ModelDemand],
    now: float,
    swapped_at: Mapping[str, float],
    cooldown_s: float,
) -> list[Place]:
    known = {model.name for model in fleet.models}
    may_share = fleet.allocation.time_sharing
    read = []
    for host in fleet.hosts:
        state = states.get(host.name)
        if state is None:
            read.append(_out(host.name, "is unreachable"))
        elif state.phase == "failed":
            read.append(_out(host.name, f"failed: {state.failure or 'no reason given'}"))
        elif state.phase == "starting":
            read.append(_starting(host, demand))
        else:
            age_s = now - swapped_at.get(host.name, float("-inf"))
            wanted = state.awake_model in known and demand[state.awake_model].present_now
            place = _serving(state, known, age_s, cooldown_s if wanted else 0.0)
            read.append(place if may_share else _dedicated(place))
    return read


def _dedicated(place: Place) -> Place:
    """Where no host is shared, every host is there for the model it has."""
    return msgspec.structs.replace(place, grant=(place.model,) if place.model else ())


def held_counts(pool: Iterable[Place]) -> Counter[str]:
    """Dedicated replicas of every model, with those that will be there in a moment."""
    return Counter(place.dedicated_to for place in pool if place.dedicated_to is not None)


def awake_counts(pool: Iterable[Place]) -> Counter[str]:
    """Replicas of every model, with those of shared hosts."""
    return Counter(place.model for place in pool if place.serves and place.model is not None)


def _out(host: str, because: str) -> Place:
    return Place(host=host, model=None, movable=False, serves=False, pinned_because=because)


def _starting(host: HostSettings, demand: Mapping[str, ModelDemand]) -> Place:
    """A host that starts counts as a replica to be, unless somebody waits for that model now."""
    model = host.starts_with
    awaited = model is not None and demand[model].waiting_interactive > 0
    return Place(
        host=host.name,
        model=model,
        movable=False,
        serves=model is not None and not awaited,
        pinned_because=f"starts with {model}" if model else "is starting",
        grant=(model,) if model else (),
    )


def _serving(state: HostState, known: set[str], age_s: float, cooldown_s: float) -> Place:
    because = None
    model = state.awake_model
    if state.phase == "swapping" or state.swap_target is not None:
        model = state.swap_target or state.awake_model
        because = f"is swapping to {model}"
    elif age_s < cooldown_s:
        because = f"got its model {max(age_s, 0):.0f} s ago and keeps it for {cooldown_s:g} s"
    grant = tuple(name for name in state.grant if name in known)
    return Place(
        host=state.host,
        model=model if model in known else None,
        grant=grant if model in grant else (model,) if model in known and model else (),
        movable=because is None,
        serves=model in known,
        pinned_because=because,
        tiers=state.tiers,
        interactive=state.running.interactive + state.waiting.interactive,
        batch=state.running.batch + state.waiting.batch + state.held,
    )

"""The pool as the planner sees it: which hosts may be given another model, and which may not."""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from orchestration.allocation.load.demand import ModelDemand
from orchestration.allocation.placing.capabilities import Excluded, exclusions
from serving.config import Fleet, HostSettings
from serving.wire import HostState, Tier


class Place(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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
    excluded: Excluded = {}
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
    if all(held[model.name] >= model.min_replicas for model in fleet.models):
        return pool
    return _places(fleet, states, demand, now, swapped_at, cooldown_s=0.0)


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
    for host, excluded in zip(fleet.hosts, exclusions(fleet), strict=True):
        state = states.get(host.name)
        grant = _grant(state, known) if state is not None and may_share else ()
        if state is None:
            read.append(_out(host, excluded, "is unreachable"))
        elif state.phase == "failed":
            failure = state.failure or "no reason given"
            read.append(_out(host, excluded, f"failed: {failure}"))
        elif state.phase == "starting":
            target = state.swap_target if state.swap_target in known else host.starts_with
            read.append(_starting(host, excluded, grant, target, demand))
        else:
            age_s = now - swapped_at.get(host.name, float("-inf"))
            wanted = state.awake_model in known and demand[state.awake_model].present_now
            kept_s = cooldown_s if wanted and len(grant) <= 1 else 0.0
            model, because = _settling(state, age_s, kept_s)
            read.append(
                _serving(host, excluded, grant, state, model if model in known else None, because)
            )
    return read


def _grant(state: HostState, known: set[str]) -> tuple[str, ...]:
    return tuple(name for name in state.grant if name in known)


def held_counts(pool: Iterable[Place]) -> Counter[str]:
    """Dedicated replicas of every model, with those that will be there in a moment."""
    return Counter(place.dedicated_to for place in pool if place.dedicated_to is not None)


def awake_counts(pool: Iterable[Place]) -> Counter[str]:
    """Replicas of every model, with those of shared hosts."""
    return Counter(place.model for place in pool if place.serves and place.model is not None)


def _out(host: HostSettings, excluded: Excluded, because: str) -> Place:
    return Place(
        host=host.name,
        model=None,
        movable=False,
        serves=False,
        pinned_because=because,
        domain=host.failure_domain,
        excluded=excluded,
    )


def _starting(
    host: HostSettings,
    excluded: Excluded,
    grant: tuple[str, ...],
    model: str | None,
    demand: Mapping[str, ModelDemand],
) -> Place:
    """A host that starts counts as a replica to be, unless somebody waits for that model now."""
    awaited = model is not None and demand[model].waiting_interactive > 0
    return Place(
        host=host.name,
        model=model,
        movable=False,
        serves=model is not None and not awaited,
        pinned_because=f"starts with {model}" if model else "is starting",
        grant=_effective(grant, model),
        domain=host.failure_domain,
        excluded=excluded,
    )


def _settling(state: HostState, age_s: float, cooldown_s: float) -> tuple[str | None, str | None]:
    """The model that the host has or is about to have, and why it is to be left alone, if so."""
    if state.phase == "swapping" or state.swap_target is not None:
        model = state.swap_target or state.awake_model
        return model, f"is swapping to {model}"
    if age_s < cooldown_s:
        because = f"got its model {max(age_s, 0):.0f} s ago and keeps it for {cooldown_s:g} s"
        return state.awake_model, because
    return state.awake_model, None


def _serving(
    host: HostSettings,
    excluded: Excluded,
    grant: tuple[str, ...],
    state: HostState,
    model: str | None,
    because: str | None,
) -> Place:
    return Place(
        host=host.name,
        model=model,
        movable=because is None,
        serves=model is not None,
        pinned_because=because,
        grant=_effective(grant, model),
        domain=host.failure_domain,
        excluded=excluded,
        tiers=state.tiers,
        interactive=state.running.interactive + state.waiting.interactive,
        batch=state.running.batch + state.waiting.batch + state.held,
    )


def _effective(grant: tuple[str, ...], model: str | None) -> tuple[str, ...]:
    """The grant, as far as the host keeps to it: otherwise it is there for what it has."""
    if model in grant:
        return grant
    return () if model is None else (model,)

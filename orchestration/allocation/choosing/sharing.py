"""Sharing: which models have hosts of their own, and how many hosts the others share.

A model that is asked for most of the time gains nothing from sharing; one that is rarely asked for
costs a whole host without. In between, the pool decides: there must be as many shared hosts as
models are likely to be active on them at once. What a shared host then has awake is not decided
here: it switches within its grant by itself. Pure.
"""

import math
from collections.abc import Mapping, Sequence, Set

import msgspec

from orchestration.allocation.choosing.memory import Fits
from orchestration.allocation.choosing.sets import set_up
from orchestration.allocation.load.need import Need
from orchestration.allocation.pool import Place, held_counts

OWN_ACTIVITY = 0.5
"""Present for this share of the time, a model would have a host most of the time anyway."""

ALWAYS_ACTIVITY = 0.9
"""Above this a model takes a whole host from the shared ones if it has none of its own."""

KEEP = 0.1
"""A model with hosts of its own keeps them down to this much below both bounds: activity near a
bound is no reason to move it to and fro."""

FAR = 0.75
"""Load, in replicas, by which it must differ from a model's hosts to change their number."""

SHARED_USE = 0.5
"""Share of a shared host's time that is service where it switches as often as it may."""

MOST_HOSTS_EACH = 4
"""Shared hosts for each model that shares, at most: a pool of thousands has seats for the rest."""


class Sharing(msgspec.Struct, frozen=True, kw_only=True):
    """What the shared hosts are for."""

    grants: tuple[tuple[str, ...], ...] = ()
    """One set of models for every host that is to be shared."""
    models: frozenset[str] = frozenset()
    """Models that get no host of their own beyond their minimum."""
    own: Mapping[str, int] = {}
    """How many hosts of their own the other models get, before any model gets more."""


def shared_sets(needs: Mapping[str, Need], pool: Sequence[Place], fits: Fits) -> Sharing:
    """Which hosts of the pool are shared, among which models.

    Models with hosts of their own are in the sets too, after the others: what is too much for their
    hosts overflows.
    """
    usable = [place for place in pool if place.serves or place.movable]
    own = held_counts(pool)
    wanting = [need for need in needs.values() if need.model.max_replicas > 0]
    if len(wanting) < 2:
        return Sharing()
    dedicated, hosts = _split(wanting, own, len(usable))
    sharing = [need.model.name for need in wanting if need.model.name not in dedicated]
    if hosts < 1:
        return Sharing()
    overflowing = [name for name in dedicated if _may_overflow(needs[name], dedicated[name])]
    sets = set_up(_shared_first(usable, set(sharing))[:hosts], sharing, overflowing, fits)
    grants = tuple(models for models in sets if len(models) > 1)
    covered = {name for models in grants for name in models}
    return Sharing(
        grants=grants,
        models=frozenset(name for name in sharing if name in covered),
        own=dedicated,
    )


def activity(need: Need) -> float:
    """Share of the time in which the model has a request; while that is not known, it shares."""
    return need.demand.activity or 0.0


def _split(
    wanting: Sequence[Need], own: Mapping[str, int], hosts: int
) -> tuple[dict[str, int], int]:
    """Hosts of their own for each model that gets some, and how many are left to share."""
    left = hosts - sum(need.model.min_replicas for need in wanting)
    by_load = sorted(wanting, key=lambda need: (-usual_load(need), need.model.name))
    shared = {need.model.name: need for need in by_load}
    dedicated: dict[str, int] = {}
    for need in by_load:
        name = need.model.name
        count = min(_hosts_for(need, own.get(name, 0)), need.model.max_replicas)
        takes = max(0, count - need.model.min_replicas)
        active = activity(need) + (KEEP if own.get(name) else 0.0)
        if active < OWN_ACTIVITY:
            continue
        others = [each for key, each in shared.items() if key != name]
        if _suffices(left - takes, others) or (
            active >= ALWAYS_ACTIVITY and _bearable(left - takes, others)
        ):
            dedicated[name] = count
            left -= takes
            del shared[name]
    return dedicated, min(left, MOST_HOSTS_EACH * max(1, len(wanting)))


def usual_load(need: Need) -> float:
    """The interactive load of about half an hour, in replicas; that of now while none is known."""
    if need.demand.activity is None:
        return need.interactive
    return need.capacity.replicas(need.demand.usual_tokens_per_s)


def _hosts_for(need: Need, own: int) -> int:
    """Hosts for the usual load; those it has, while they are not far from it."""
    load = usual_load(need)
    count = own if own and abs(load - own) <= FAR else round(load)
    return max(1, count, need.model.min_replicas)


def _suffices(hosts: int, sharing: Sequence[Need]) -> bool:
    """Whether each model that is active at one time finds a host, nearly always."""
    shares = [activity(need) for need in sharing]
    mean = sum(shares)
    sd = math.sqrt(sum(share * (1.0 - share) for share in shares))
    return hosts >= mean + 2.0 * sd and _bearable(hosts, sharing)


def _bearable(hosts: int, sharing: Sequence[Need]) -> bool:
    """Whether the hosts do the work of those that share them, swaps included."""
    if not sharing:
        return hosts >= 0
    return hosts >= max(1.0, sum(usual_load(need) for need in sharing) / SHARED_USE)


def _may_overflow(need: Need, own: int) -> bool:
    return need.model.max_replicas > own


def _shared_first(usable: Sequence[Place], sharing: Set[str]) -> list[Place]:
    """Hosts that are shared already, then those whose model is to share, then the others."""
    return sorted(
        usable,
        key=lambda place: (len(place.grant) < 2, place.model not in sharing),
    )

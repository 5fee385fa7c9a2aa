"""Who gives up its place for interactive work, who is protected from it, and who gets it back.

A batch generation that gives up its place is *held*: it stays on the engine with its KV cache and
takes no part in steps, so going on costs nothing. Pure functions; `admission` applies them.
"""

from dataclasses import dataclass

from serving.engine.decisions.generation import Generation

PROTECTED_AFTER_EVICTIONS = 4
"""From this many on, a generation is protected: each one delays somebody's result."""
PROTECTED_AFTER_S = 60.0
"""A generation passed over for so long is protected, however few its evictions."""
DEADLINE_MARGIN = 1.5
"""Protected from when its remaining work, by this factor, no longer fits before its deadline."""


@dataclass(frozen=True)
class Places:
    """How many batch generations may compute."""

    batch: int
    """Of any kind."""
    protected: int
    """Of protected ones alone; no fewer than `batch`."""

    def allow(self, taken: int, *, protected: bool) -> bool:
        """Whether one more may compute beside the `taken` ones."""
        return taken < (self.protected if protected else self.batch)


def protected_share(cap: int) -> int:
    """How many places protected batch keeps however much interactive work there is."""
    return max(1, cap // 4)


def places(*, slots: int, cap: int, interactive: int) -> Places:
    """What `interactive` generations leave of the running batch."""
    free = max(0, slots - interactive)
    if interactive == 0:
        return Places(free, free)
    batch = min(free, max(0, cap - interactive))
    return Places(batch, min(free, max(batch, protected_share(cap))))


def is_protected(generation: Generation, now: float) -> bool:
    """Whether it is among the last to give up a place, and may use the protected share."""
    return (
        generation.evictions >= PROTECTED_AFTER_EVICTIONS
        or generation.passed_over_s(now) >= PROTECTED_AFTER_S
        or generation.time_left_s(now) < DEADLINE_MARGIN * generation.remaining_s(now)
    )


@dataclass(frozen=True, order=True)
class HoldCost:
    """What holding a generation costs, compared field by field: the cheapest is held first.

    In place nothing is computed again, so what counts is whom a delay hurts. A prompt being
    computed is held before decodes: it makes every step longer. Then come those delayed seldom,
    those with most time to their deadline, and those with most to do (others free their place by
    themselves). Of equals, the tokens to compute again should the gateway take it to another
    replica decide, then age: the newest is held first.
    """

    protected: bool
    decoding: bool
    evictions: int
    urgency: float
    nearness: int
    tokens: int
    age_s: float


def hold_cost(generation: Generation, now: float) -> HoldCost:
    """The cost of holding `generation` now."""
    return HoldCost(
        protected=is_protected(generation, now),
        decoding=not generation.in_prefill,
        evictions=generation.evictions,
        urgency=-generation.time_left_s(now),
        nearness=-generation.remaining_tokens,
        tokens=generation.tokens,
        age_s=now - (generation.admitted_at or generation.arrived_at),
    )


def surplus(batch: list[Generation], places: Places, now: float) -> list[Generation]:
    """Those of the computing `batch` that have to give up their places, cheapest first."""
    if len(batch) <= places.batch:
        return []
    kept, given_up = 0, []
    for generation in _dearest_first(batch, now):
        if places.allow(kept, protected=is_protected(generation, now)):
            kept += 1
        else:
            given_up.append(generation)
    return given_up[::-1]


def returning(
    held: list[Generation], computing: int, places: Places, now: float
) -> list[Generation]:
    """Those of the `held` that get places beside the `computing` ones, dearest first."""
    if computing >= places.protected:
        return []
    returned: list[Generation] = []
    for generation in _dearest_first(held, now):
        if places.allow(computing + len(returned), protected=is_protected(generation, now)):
            returned.append(generation)
    return returned


def _dearest_first(generations: list[Generation], now: float) -> list[Generation]:
    return sorted(generations, key=lambda g: hold_cost(g, now), reverse=True)

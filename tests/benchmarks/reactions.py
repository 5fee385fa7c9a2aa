"""Reactions with plain times."""

from benchmarks.reaction.samples import Reaction
from benchmarks.timeline import Timeline

CAUSED_AT = 1000.0


def timeline(hotswap_s: float = 0.5) -> Timeline:
    """Half a second of sensor, one of run start, a quarter each of plan and op, and the hotswap."""
    return Timeline(
        model="a",
        host="host-1",
        from_tier="asleep",
        caused_at=CAUSED_AT,
        asked_at=CAUSED_AT + 0.5,
        started_at=CAUSED_AT + 1.5,
        planned_at=CAUSED_AT + 1.75,
        swap_began_at=CAUSED_AT + 2.0,
        swapped_at=CAUSED_AT + 2.0 + hotswap_s,
    )


def reaction(model: str, first_token_s: float, hotswap_s: float) -> Reaction:
    """A reaction to a burst of one request."""
    return Reaction(model, first_token_s, first_token_s, timeline(hotswap_s))

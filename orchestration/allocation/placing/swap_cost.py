"""What a hotswap costs, in seconds, as long as none was recorded. Pure."""

from collections.abc import Callable

from serving.wire import Tier

SwapCost = Callable[[str, str, Tier], float]
"""Seconds until `host` serves `model`, whose weights are there in this tier."""

ASSUMED_SWAP_S: dict[Tier, float] = {
    "awake": 0.0,
    "asleep": 0.5,
    "parked": 2.0,
    "disk": 15.0,
    "absent": 60.0,
}


def assumed_swap_cost(host: str, model: str, tier: Tier) -> float:
    """By tier alone."""
    return ASSUMED_SWAP_S[tier]

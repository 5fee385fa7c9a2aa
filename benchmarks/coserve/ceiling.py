"""The largest batch share any scheduler could reach under the bounds on TPOT. Pure.

While interactive requests are present, every step makes one token for each of them, so batch work
gets what the step has room for before it grows too long; and a longer step keeps the interactive
work there for longer. Both follow from the profile: TPOT by batch size, measured in the same run.
Prompts, evictions and the cost of deciding are taken to be free, so no real scheduler reaches it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

TPOT_P50_BOUND, TPOT_P99_BOUND = 1.15, 1.25
"""Over TPOT alone: what half of the requests, and what nearly all must keep."""
_STEPS_A_PLACE = 4
"""A batch size may be a mean: sizes are tried in quarters."""


@dataclass(frozen=True)
class ProfilePoint:
    """TPOT of a batch of one size."""

    batch_size: int
    tpot_s: float


def tpot_at(profile: Sequence[ProfilePoint], batch_size: float) -> float:
    """TPOT of a batch size between measured ones; at the ends, that of the end."""
    points = sorted(profile, key=lambda point: point.batch_size)
    if batch_size <= points[0].batch_size:
        return points[0].tpot_s
    for low, high in pairwise(points):
        if batch_size <= high.batch_size:
            share = (batch_size - low.batch_size) / (high.batch_size - low.batch_size)
            return low.tpot_s + share * (high.tpot_s - low.tpot_s)
    return points[-1].tpot_s


def batch_share_ceiling(
    profile: Sequence[ProfilePoint], presence: Mapping[int, float], slots: int
) -> float:
    """Batch tokens per second over those of batch alone, at most.

    `presence`: share of the time with so many interactive requests, when they are alone. Half of
    the requests may use the looser bound, so the mean of both is the most there is.
    """
    if not profile or not presence:
        return float("nan")
    shares = [
        1 + sum(time * _change(profile, number, slots, bound) for number, time in presence.items())
        for bound in (TPOT_P50_BOUND, TPOT_P99_BOUND)
    ]
    return sum(shares) / len(shares)


def _change(profile: Sequence[ProfilePoint], interactive: int, slots: int, bound: float) -> float:
    """Batch share gained (it is a loss) per second that so many would be there alone."""
    if interactive == 0:
        return 0.0
    alone_s, alone_rate = tpot_at(profile, interactive), slots / tpot_at(profile, slots)
    best = -1.0  # no batch work at all while they are there
    for step in range((slots - interactive) * _STEPS_A_PLACE + 1):
        batch = step / _STEPS_A_PLACE
        tpot_s = tpot_at(profile, interactive + batch)
        if tpot_s <= bound * alone_s:
            longer = tpot_s / alone_s
            best = max(best, longer * (batch / tpot_s / alone_rate - 1))
    return best


def presence_of(spans: Sequence[tuple[float, float]], window_s: float) -> dict[int, float]:
    """Share of a window by how many of these spans cover it; zero is left out."""
    moments = sorted([(a, 1) for a, _ in spans] + [(b, -1) for _, b in spans])
    found: dict[int, float] = {}
    number, since = 0, 0.0
    for at, change in moments:
        if number:
            found[number] = found.get(number, 0.0) + (at - since) / window_s
        number, since = number + change, at
    return found

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
    """A batch of one size."""

    batch_size: int
    tpot_s: float
    ttft_s: float = float("nan")
    """Of short prompts that all come at once, the median one."""


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
    profile: Sequence[ProfilePoint],
    presence: Mapping[int, float],
    slots: int,
    batch_alone_tokens_per_s: float,
) -> float:
    """Batch tokens per second over those of batch alone, at most.

    `presence`: share of the time with so many interactive requests, when they are alone. Half of
    the requests may use the looser bound, so the mean of both is the most there is.
    """
    if not profile or not presence:
        return float("nan")
    shares = [
        1
        + sum(
            time * max(_changes(profile, number, slots, bound, batch_alone_tokens_per_s))
            for number, time in presence.items()
        )
        for bound in (TPOT_P50_BOUND, TPOT_P99_BOUND)
    ]
    return min(1.0, sum(shares) / len(shares))


def room_beside(profile: Sequence[ProfilePoint], interactive: int, slots: int) -> float:
    """The most batch generations that fit beside so many within the bound on TPOT p50."""
    if not profile:
        return float("nan")
    return max(_fitting(profile, interactive, slots, TPOT_P50_BOUND))


def _changes(
    profile: Sequence[ProfilePoint],
    interactive: int,
    slots: int,
    bound: float,
    batch_alone_tokens_per_s: float,
) -> list[float]:
    """Batch share gained (a loss) per second that so many are there alone, by what fits."""
    if interactive == 0:
        return [0.0]
    alone_s, changes = tpot_at(profile, interactive), []
    for batch in _fitting(profile, interactive, slots, bound):
        tpot_s = tpot_at(profile, interactive + batch)
        changes.append(tpot_s / alone_s * (batch / tpot_s / batch_alone_tokens_per_s - 1))
    return changes


def _fitting(
    profile: Sequence[ProfilePoint], interactive: int, slots: int, bound: float
) -> list[float]:
    """Numbers of batch generations beside which TPOT keeps the bound; zero is one of them."""
    alone_s = tpot_at(profile, interactive)
    numbers = [step / _STEPS_A_PLACE for step in range((slots - interactive) * _STEPS_A_PLACE + 1)]
    return [n for n in numbers if tpot_at(profile, interactive + n) <= bound * alone_s]


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

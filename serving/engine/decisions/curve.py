"""Time per output token over the number of generations that compute, as it is expected.

From a model's batch-size profile, or assumed from the fleet file. `cap` corrects
it by what it sees.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import pairwise

from serving.wire import BatchSizePoint

TpotCurve = Callable[[int], float]
"""Seconds per output token when so many compute; positive and never falling."""

_ASSUMED_RISE = 1 / 16
"""Without a profile: by how much of its value at no load TPOT rises with each generation."""


def assumed(*, level_s: float, cap: int) -> TpotCurve:
    """The curve behind a fleet file's `interactive_cap`: there TPOT just meets the level."""
    unloaded_s = level_s / (1 + _ASSUMED_RISE * cap)
    return lambda computing: unloaded_s * (1 + _ASSUMED_RISE * computing)


def measured(points: Iterable[BatchSizePoint]) -> TpotCurve:
    """The curve through a profile's points, straight between them and beyond the ends.

    Made monotone: where a point is below one of a smaller batch, the smaller one's counts.
    """
    sizes: list[int] = []
    tpots_s: list[float] = []
    for point in sorted(points, key=lambda point: point.batch_size):
        sizes.append(point.batch_size)
        tpots_s.append(max(point.tpot_s, tpots_s[-1] if tpots_s else 0.0))
    segments = list(pairwise(zip(sizes, tpots_s, strict=True)))

    def curve(computing: int) -> float:
        if not segments or computing <= sizes[0]:
            return tpots_s[0]
        index = min(bisect_left(sizes, computing), len(segments)) - 1
        (left, low_s), (right, high_s) = segments[index]
        return low_s + (high_s - low_s) * (computing - left) / (right - left)

    return curve

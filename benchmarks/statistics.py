"""Summaries of samples, with one definition each.

A quantile interpolates linearly between the two samples around it. A ratio of two arms is the ratio
of their medians, so that one disturbed sample does not decide it.
"""

import statistics
from collections.abc import Sequence


def median(samples: Sequence[float]) -> float:
    """The middle sample; NaN without samples."""
    return quantile(samples, 0.5)


def quantile(samples: Sequence[float], share: float) -> float:
    """The value below which `share` of the samples lie; NaN without samples."""
    if not 0 <= share <= 1:
        raise ValueError(f"a share lies between 0 and 1, not {share}")
    ordered = sorted(samples)
    if not ordered:
        return float("nan")
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def mean(samples: Sequence[float]) -> float:
    """The arithmetic mean; NaN without samples."""
    return statistics.fmean(samples) if samples else float("nan")


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median of `ours` over median of `theirs`; NaN if that is undefined."""
    below = median(theirs)
    return median(ours) / below if below else float("nan")

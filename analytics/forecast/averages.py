"""Averages: exponentially weighted means of several time constants, short to long.

Each is a sum that fades, over the time observed, which fades alike: so the means are right from
the first bucket on, and a stretch that nobody observed changes no mean, only how much the next
bucket counts.
"""

from collections.abc import Sequence

import numpy as np

from analytics.forecast.bucket import BUCKET_S, Floats


class FadingSums:
    """Sums over buckets, one row a time constant."""

    def __init__(self, time_constants_s: Sequence[float], flows: int) -> None:
        self._time_constants_s = np.array(time_constants_s)[:, None]
        self._step = np.exp(-BUCKET_S / self._time_constants_s)
        self._sums = np.zeros((len(time_constants_s), flows))
        self._observed_s = np.zeros((len(time_constants_s), 1))

    def add(self, values: Floats) -> None:
        """One bucket more."""
        self._sums = self._sums * self._step + values
        self._observed_s = self._observed_s * self._step + BUCKET_S

    def skip(self, seconds: float) -> None:
        """A stretch that nobody observed."""
        fade = np.exp(-seconds / self._time_constants_s)
        self._sums = self._sums * fade
        self._observed_s = self._observed_s * fade

    def per_s(self, *, at_least_s: float = 1e-9) -> Floats:
        """Means per second, one row a time constant; 0 before the first bucket.

        What was observed for less than `at_least_s` is taken to have been that long, and nothing
        before.
        """
        means: Floats = self._sums / np.maximum(self._observed_s, at_least_s)
        return means

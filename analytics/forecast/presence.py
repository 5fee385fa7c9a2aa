"""Presence: the share of time in which a flow has a request, and how many there are at most."""

import math

import numpy as np

from analytics.forecast.averages import FadingSums
from analytics.forecast.bucket import BUCKET_S, Floats, LoadBucket

MEMORY_S = 3600.0

KNOWN_AFTER_S = 300.0
"""One request in the first seconds is no sign of a flow that is always there."""


class Presence:
    """Fading over an hour."""

    def __init__(self, flows: int) -> None:
        self._busy = FadingSums([MEMORY_S], flows)
        self._peak = np.zeros(flows)

    def add(self, bucket: LoadBucket) -> None:
        """One bucket more."""
        self._busy.add(bucket.busy_s)
        self._peak = np.maximum(self._peak * math.exp(-BUCKET_S / MEMORY_S), bucket.concurrency)

    def skip(self, seconds: float) -> None:
        """A stretch that nobody observed."""
        self._busy.skip(seconds)
        self._peak *= math.exp(-seconds / MEMORY_S)

    def activity(self) -> Floats:
        """Share of time with at least one request present, 0 to 1."""
        share: Floats = np.minimum(1.0, self._busy.per_s(at_least_s=KNOWN_AFTER_S)[0])
        return share

    def peak(self) -> Floats:
        """Most requests present at once; a peak is worth a third after an hour."""
        return self._peak

"""The meter: counts requests into buckets as they arrive and end."""

import math
from collections.abc import Iterator

import numpy as np

from analytics.forecast.bucket import BUCKET_S, LoadBucket

LONGEST_GAP_S = 3600.0
"""Nobody looked for longer: what was counted is closed, and time begins anew."""


class LoadMeter:
    """Counts of the bucket that is open. A microsecond a request; times are seconds of any clock.

    A time before the open bucket counts into it; a clock that is put back opens a bucket there.
    """

    def __init__(self, flows: int, start_s: float) -> None:
        self._flows = flows
        self._open(_bucket_start(start_s))
        self._present = [0] * flows
        self._busy_since_s = [0.0] * flows
        self._clear()

    def arrive(self, flow: int, at_s: float) -> None:
        """A request arrived; it is present until it ends."""
        self._arrivals[flow] += 1
        present = self._present[flow] + 1
        self._present[flow] = present
        if present == 1:
            self._busy_since_s[flow] = max(at_s, self._start_s)
        if present > self._concurrency[flow]:
            self._concurrency[flow] = present

    def end(self, flow: int, at_s: float, tokens: float) -> None:
        """A request ended, with so many prompt and output tokens; 0: it was never worked on."""
        if tokens > 0:
            self._ended[flow] += 1
            self._tokens[flow] += tokens
            self._squared_tokens[flow] += tokens * tokens
        if self._present[flow] > 0:
            self._present[flow] -= 1
            if self._present[flow] == 0:
                self._busy_s[flow] += max(0.0, at_s - self._busy_since_s[flow])

    def close(self, now_s: float) -> Iterator[LoadBucket]:
        """Every bucket that is over by `now_s`, oldest first."""
        if not -BUCKET_S <= now_s - self._start_s <= LONGEST_GAP_S:
            yield self._closed(_bucket_start(now_s))
        while now_s >= self.closes_at_s:
            yield self._closed(self.closes_at_s)

    def _closed(self, next_start_s: float) -> LoadBucket:
        """The open bucket; the next one opens at `next_start_s`."""
        for flow, present in enumerate(self._present):
            if present:
                self._busy_s[flow] += max(0.0, self.closes_at_s - self._busy_since_s[flow])
                self._busy_since_s[flow] = next_start_s
        bucket = LoadBucket(
            self._start_s,
            np.array(self._arrivals),
            np.array(self._ended),
            np.array(self._tokens),
            np.array(self._squared_tokens),
            np.minimum(BUCKET_S, self._busy_s),
            np.array(self._concurrency),
        )
        self._open(next_start_s)
        self._clear()
        return bucket

    def _open(self, start_s: float) -> None:
        self._start_s = start_s
        self.closes_at_s = start_s + BUCKET_S
        """When the open bucket is over."""

    def _clear(self) -> None:
        self._arrivals = [0.0] * self._flows
        self._ended = [0.0] * self._flows
        self._tokens = [0.0] * self._flows
        self._squared_tokens = [0.0] * self._flows
        self._busy_s = [0.0] * self._flows
        self._concurrency = [float(present) for present in self._present]


def _bucket_start(at_s: float) -> float:
    return math.floor(at_s / BUCKET_S) * BUCKET_S

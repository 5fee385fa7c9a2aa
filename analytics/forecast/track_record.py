"""The track record: how well past forecasts of each horizon turned out, and what follows.

Weights of several forecasts by their squared errors (Bates and Granger, "The combination of
forecasts", 1969), and the index of dispersion: the variance of requests around their forecast,
in units of the variance that a Poisson process of that rate would have. It grows with bursts and
with everything else the forecast does not know, as the error is measured, not derived.
"""

import math

import numpy as np

from analytics.forecast.bucket import BUCKET_S, Floats

HORIZONS_S = (10.0, 60.0, 300.0)
"""Horizons that are tracked; others lie between, or are taken to be like the nearest."""
MEMORY_S = 900.0
POISSON_REQUESTS = 1.0
"""So many requests' worth of a Poisson process stand in for a record that is not there yet."""
_LEAST_ERROR = 1e-6


class TrackRecord:
    """Open forecasts, and the fading errors of those that have come true."""

    def __init__(self, forecasts: int, flows: int) -> None:
        self._lengths = np.array([round(h / BUCKET_S) for h in HORIZONS_S])
        self._spans_s = (self._lengths * BUCKET_S)[:, None, None]
        horizons, kept = len(HORIZONS_S), int(self._lengths.max()) + 1
        self._rows = np.arange(horizons)
        self._open = np.zeros((kept, horizons, forecasts, flows))
        self._open_combined = np.zeros((kept, horizons, flows))
        self._counted = np.zeros((kept, flows))
        """Requests up to the end of a bucket, since the record began."""
        self._buckets = 0
        self._squared = np.zeros((horizons, forecasts, flows))
        self._combined_squared = np.zeros((horizons, flows))
        self._combined_size = np.zeros((horizons, flows))

    def settle(self, arrivals: Floats) -> None:
        """A bucket ended: compare what was forecast for the stretches that end with it."""
        kept = len(self._counted)
        now = self._buckets % kept
        self._counted[now] = self._counted[now - 1] + arrivals
        self._buckets += 1
        due = self._buckets > self._lengths
        if not due.any():
            return
        then = (now - self._lengths) % kept
        came = self._counted[now] - self._counted[then]
        fade = math.exp(-BUCKET_S / MEMORY_S)
        told = self._open[then, self._rows] * self._spans_s
        self._squared *= fade
        self._squared += due[:, None, None] * (came[:, None] - told) ** 2
        combined = self._open_combined[then, self._rows] * self._spans_s[:, 0]
        self._combined_squared *= fade
        self._combined_squared += due[:, None] * (came - combined) ** 2
        self._combined_size *= fade
        self._combined_size += due[:, None] * (came + combined) / 2

    def combine(self, per_s: Floats) -> Floats:
        """One forecast of several, for every horizon; both are remembered until they are due.

        `per_s`: requests per second, (horizon, forecast, flow). Returns (horizon, flow).
        """
        weights = (self._squared + _LEAST_ERROR) ** -2
        weights /= weights.sum(axis=1, keepdims=True)
        combined: Floats = (weights * per_s).sum(axis=1)
        place = (self._buckets - 1) % len(self._open)
        self._open[place] = per_s
        self._open_combined[place] = combined
        return combined

    def forget_open(self) -> None:
        """What was forecast across a stretch that nobody observed never comes due."""
        self._buckets = 0
        self._counted[:] = 0.0

    def dispersion(self) -> Floats:
        """Variance per mean of the combined forecasts, (horizon, flow); 1 is Poisson."""
        return (self._combined_squared + POISSON_REQUESTS) / (
            self._combined_size + POISSON_REQUESTS
        )

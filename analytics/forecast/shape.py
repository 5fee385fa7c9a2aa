"""Shape: the rate that a flow has at this time of the day, on this day of the week.

The rate is its mean, times a factor of the time of day, times a factor of the day of the week.
Factors are smoothed over neighbouring times and shrunk to one by `SHRINK_DAYS` days of mean
traffic: a shape must be seen on several days before it is believed. Times are UTC.
"""

import math

import numpy as np

from analytics.forecast.bucket import Floats

DAY_S = 86400.0
SLOT_S = 900.0
SLOTS = int(DAY_S / SLOT_S)
SHRINK_DAYS = 1.0
MEMORY_DAYS = 14.0
_THURSDAY = 3
"""The epoch began on one; Monday is 0."""


class RateShape:
    """Requests and seconds observed, by time of day and by day of the week."""

    def __init__(self, flows: int) -> None:
        self._counted = np.zeros(flows)
        self._counted_s = 0.0
        self._by_slot = np.zeros((SLOTS, flows))
        self._slot_s = np.zeros((SLOTS, 1))
        self._by_weekday = np.zeros((7, flows))
        self._weekday_s = np.zeros((7, 1))
        self._faded_at_s: float | None = None
        self._factors: tuple[Floats, Floats] = (np.ones((SLOTS, flows)), np.ones((7, flows)))

    def add(self, start_s: float, arrivals: Floats, seconds: float) -> None:
        """What arrived in the `seconds` after `start_s`: not more than one slot."""
        slot, weekday = _place(start_s)
        if self._faded_at_s is None or not 0 <= start_s - self._faded_at_s < SLOT_S:
            self._fade(start_s)
        self._counted += arrivals
        self._counted_s += seconds
        self._by_slot[slot] += arrivals
        self._slot_s[slot] += seconds
        self._by_weekday[weekday] += arrivals
        self._weekday_s[weekday] += seconds

    def per_s(self, at_s: float) -> Floats:
        """The rate of every flow at this time, as the shape has it; 0 before the first bucket."""
        slot, weekday = _place(at_s)
        by_slot, by_weekday = self._factors
        rate: Floats = self._mean() * by_slot[slot] * by_weekday[weekday]
        return rate

    def _mean(self) -> Floats:
        mean: Floats = self._counted / max(self._counted_s, 1e-9)
        return mean

    def _fade(self, at_s: float) -> None:
        """About once a slot: old days count less, and factors are computed anew."""
        days = 0.0 if self._faded_at_s is None else max(0.0, at_s - self._faded_at_s) / DAY_S
        fade = math.exp(-days / MEMORY_DAYS)
        self._counted *= fade
        self._counted_s *= fade
        self._by_slot *= fade
        self._slot_s *= fade
        self._by_weekday *= fade
        self._weekday_s *= fade
        self._faded_at_s = at_s
        mean = self._mean()
        self._factors = (
            _factors(_smoothed(self._by_slot), _smoothed(self._slot_s), mean, SLOT_S),
            _factors(self._by_weekday, self._weekday_s, mean, DAY_S),
        )


def _place(at_s: float) -> tuple[int, int]:
    """Slot of the day and day of the week."""
    return int(at_s // SLOT_S) % SLOTS, (int(at_s // DAY_S) + _THURSDAY) % 7


def _smoothed(by_slot: Floats) -> Floats:
    """Each slot with half of both neighbours, around midnight too."""
    around: Floats = (
        by_slot + (np.roll(by_slot, 1, axis=0) + np.roll(by_slot, -1, axis=0)) / 2
    ) / 2
    return around


def _factors(counted: Floats, seconds: Floats, mean: Floats, span_s: float) -> Floats:
    """Rate over mean rate, where `SHRINK_DAYS` spans of exactly the mean are added."""
    added_s = SHRINK_DAYS * span_s
    rate = (counted + mean * added_s) / (seconds + added_s)
    return np.divide(rate, mean, out=np.ones_like(rate), where=mean > 0)

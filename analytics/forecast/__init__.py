"""Offered load and its forecast, as pure state: no store, no clock of its own, no I/O.

The simulator counts requests into it as they come (`OfferedLoad`); the control plane replays what
the store counted (`analytics.history`). Both get their numbers from the same code.
"""

from analytics.forecast.bucket import BUCKET_S, LoadBucket
from analytics.forecast.forecaster import LoadForecast, LoadForecaster
from analytics.forecast.offered import OfferedLoad
from analytics.forecast.shape import RateShape

__all__ = [
    "BUCKET_S",
    "LoadBucket",
    "LoadForecast",
    "LoadForecaster",
    "OfferedLoad",
    "RateShape",
]

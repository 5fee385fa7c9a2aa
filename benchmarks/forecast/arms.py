"""The ways to forecast that are compared. Each is one of the parts of Turntable's own, or all."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from analytics.forecast import LoadBucket, LoadForecaster, RateShape
from analytics.forecast.averages import FadingSums
from analytics.forecast.bucket import BUCKET_S, Floats
from analytics.forecast.forecaster import TIME_CONSTANTS_S
from analytics.forecast.request_size import RequestSizes
from analytics.forecast.track_record import HORIZONS_S, TrackRecord

OURS = "turntable"


class Arm(Protocol):
    """Told buckets in order, asked for the load of the next `HORIZONS_S`."""

    def observe(self, bucket: LoadBucket) -> None:
        """One bucket more."""

    def forecast(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation of tokens per second, (horizon, flow)."""


def arms(flows: int) -> dict[str, Callable[[], Arm]]:
    """Every way by name, made afresh for each trace."""
    found: dict[str, Callable[[], Arm]] = {
        "last value": lambda: _Parts(flows, [_LastValue(flows)]),
        **{
            f"average over {tau_s:g} s": lambda tau_s=tau_s: _Parts(  # type: ignore[misc]
                flows, [_Average(tau_s, flows)]
            )
            for tau_s in TIME_CONSTANTS_S
        },
        "shape": lambda: _Parts(flows, [_Shape(flows)]),
        "averages, weighed": lambda: _Parts(
            flows, [_Average(tau_s, flows) for tau_s in TIME_CONSTANTS_S]
        ),
        OURS: lambda: _Ours(flows),
    }
    return found


class _Rate(Protocol):
    """One forecast of requests per second."""

    def add(self, bucket: LoadBucket) -> None: ...

    def per_s(self) -> list[Floats]:
        """One array for every horizon."""


class _LastValue:
    """What arrived in the stretch before now, as long as the one after."""

    def __init__(self, flows: int) -> None:
        self._recent = np.zeros((round(max(HORIZONS_S) / BUCKET_S), flows))
        self._buckets = 0

    def add(self, bucket: LoadBucket) -> None:
        self._recent = np.vstack([self._recent[1:], bucket.arrivals])
        self._buckets += 1

    def per_s(self) -> list[Floats]:
        spans = [min(self._buckets, round(h / BUCKET_S)) for h in HORIZONS_S]
        return [self._recent[-span:].mean(axis=0) / BUCKET_S for span in spans]


class _Average:
    """An exponentially weighted average."""

    def __init__(self, time_constant_s: float, flows: int) -> None:
        self._sums = FadingSums([time_constant_s], flows)

    def add(self, bucket: LoadBucket) -> None:
        self._sums.add(bucket.arrivals)

    def per_s(self) -> list[Floats]:
        return [self._sums.per_s()[0]] * len(HORIZONS_S)


class _Shape:
    """The rate that the time of the day and the week usually has."""

    def __init__(self, flows: int) -> None:
        self._shape = RateShape(flows)
        self._end_s = 0.0

    def add(self, bucket: LoadBucket) -> None:
        self._shape.add(bucket.start_s, bucket.arrivals, BUCKET_S)
        self._end_s = bucket.start_s + BUCKET_S

    def per_s(self) -> list[Floats]:
        return [self._shape.per_s(self._end_s + h / 2) for h in HORIZONS_S]


class _Parts:
    """Some forecasts of the rate, weighed by their record; sizes and dispersion as ours."""

    def __init__(self, flows: int, rates: list[_Rate]) -> None:
        self._rates = rates
        self._sizes = RequestSizes(flows)
        self._record = TrackRecord(len(rates), flows)
        self._per_s = np.zeros((len(HORIZONS_S), flows))

    def observe(self, bucket: LoadBucket) -> None:
        for rate in self._rates:
            rate.add(bucket)
        self._sizes.add(bucket)
        self._record.settle(bucket.arrivals)
        told = np.stack([np.stack(rate.per_s()) for rate in self._rates], axis=1)
        self._per_s = self._record.combine(told)

    def forecast(self) -> tuple[Floats, Floats]:
        tokens, variance = self._sizes.mean_and_variance()
        each = self._record.dispersion() * tokens**2 + variance
        return self._per_s * tokens, np.sqrt(self._per_s * each / np.array(HORIZONS_S)[:, None])


class _Ours:
    """The forecaster as the control plane has it."""

    def __init__(self, flows: int) -> None:
        self._forecaster = LoadForecaster(flows)

    def observe(self, bucket: LoadBucket) -> None:
        self._forecaster.observe(bucket)

    def forecast(self) -> tuple[Floats, Floats]:
        found = [self._forecaster.forecast(horizon_s) for horizon_s in HORIZONS_S]
        mean = [[flow.mean_tokens_per_s for flow in flows] for flows in found]
        deviation = [[flow.sd_tokens_per_s for flow in flows] for flows in found]
        return np.array(mean), np.array(deviation)

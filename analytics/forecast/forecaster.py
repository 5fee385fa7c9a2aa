"""The forecaster: from buckets to the load that is to be expected, and how sure that is.

Requests are forecast, since they are known when they arrive; their tokens are known when they end.
Four averages and the shape each forecast a flow's rate; the track record weighs them, for each
horizon and flow by its own errors. Load is requests times tokens: a compound process, whose
variance is that of the requests and that of their sizes.
"""

import msgspec
import numpy as np

from analytics.forecast.averages import FadingSums
from analytics.forecast.bucket import BUCKET_S, Floats, LoadBucket
from analytics.forecast.presence import Presence
from analytics.forecast.request_size import ASSUMED_TOKENS, RequestSizes
from analytics.forecast.shape import RateShape
from analytics.forecast.track_record import HORIZONS_S, TrackRecord

TIME_CONSTANTS_S = (15.0, 60.0, 300.0, 1800.0)
SHORT, LONG = 1, 3
"""Those that are called the short and the long average."""


class LoadForecast(msgspec.Struct, frozen=True, kw_only=True):
    """What is known and expected of one flow, in tokens of work (prompt and output) a second."""

    horizon_s: float
    """The stretch after now that mean and deviation are of."""
    mean_tokens_per_s: float
    sd_tokens_per_s: float
    """Standard deviation of the load's mean over the horizon."""
    short_tokens_per_s: float
    """Arrived load, averaged over about a minute."""
    long_tokens_per_s: float
    """Arrived load, averaged over about half an hour."""
    request_tokens: float
    """Of one request, typically."""
    dispersion: float
    """Variance of arrivals around their forecast, in units of a Poisson process's."""
    activity: float
    """Share of the last hour or so with at least one request present."""
    peak_concurrency: float
    """Most requests present at once in the last hour or so."""


class LoadForecaster:
    """All flows at once. Fed with buckets in order; whatever lies between two was not observed."""

    def __init__(
        self,
        flows: int,
        *,
        shape: RateShape | None = None,
        assumed_tokens: float = ASSUMED_TOKENS,
    ) -> None:
        """`shape`: what is known from long before the first bucket."""
        self._flows = flows
        self._shape = shape if shape is not None else RateShape(flows)
        self._averages = FadingSums(TIME_CONSTANTS_S, flows)
        self._sizes = RequestSizes(flows, assumed_tokens=assumed_tokens)
        self._presence = Presence(flows)
        self._record = TrackRecord(len(TIME_CONSTANTS_S) + 1, flows)
        self._per_s = np.zeros((len(HORIZONS_S), flows))
        self._end_s: float | None = None

    def observe(self, bucket: LoadBucket) -> None:
        """One bucket more. One before the last is taken for the next: the clock was put back."""
        if self._end_s is not None and bucket.start_s >= self._end_s + BUCKET_S / 2:
            self._skip(bucket.start_s - self._end_s)
        self._end_s = bucket.start_s + BUCKET_S
        self._averages.add(bucket.arrivals)
        self._sizes.add(bucket)
        self._presence.add(bucket)
        self._shape.add(bucket.start_s, bucket.arrivals, BUCKET_S)
        self._record.settle(bucket.arrivals)
        self._per_s = self._record.combine(self._forecasts(self._end_s))

    def forecast(self, horizon_s: float) -> list[LoadForecast]:
        """For the `horizon_s` after the last bucket, one a flow."""
        requests_per_s = _between(horizon_s, self._per_s)
        dispersion = _between(horizon_s, self._record.dispersion())
        tokens, variance = self._sizes.mean_and_variance()
        averages = self._averages.per_s() * tokens
        of_the_load = requests_per_s * (dispersion * tokens**2 + variance) / horizon_s
        columns = (
            requests_per_s * tokens,
            np.sqrt(of_the_load),
            averages[SHORT],
            averages[LONG],
            tokens,
            dispersion,
            self._presence.activity(),
            self._presence.peak(),
        )
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [
            LoadForecast(
                horizon_s=horizon_s,
                mean_tokens_per_s=mean,
                sd_tokens_per_s=sd,
                short_tokens_per_s=short,
                long_tokens_per_s=long,
                request_tokens=size,
                dispersion=index,
                activity=activity,
                peak_concurrency=peak,
            )
            for mean, sd, short, long, size, index, activity, peak in rows
        ]

    def _forecasts(self, now_s: float) -> Floats:
        """Rates that averages and shape foretell, (horizon, forecast, flow)."""
        foretold = np.empty((len(HORIZONS_S), len(TIME_CONSTANTS_S) + 1, self._flows))
        foretold[:, :-1] = self._averages.per_s()
        for place, horizon_s in enumerate(HORIZONS_S):
            foretold[place, -1] = self._shape.per_s(now_s + horizon_s / 2)
        return foretold

    def _skip(self, seconds: float) -> None:
        self._averages.skip(seconds)
        self._sizes.skip(seconds)
        self._presence.skip(seconds)
        self._record.forget_open()


def _between(horizon_s: float, by_horizon: Floats) -> Floats:
    """What holds for `horizon_s`, by a straight line over the logarithm of the horizon."""
    place = np.interp(np.log(horizon_s), np.log(HORIZONS_S), range(len(HORIZONS_S)))
    below = min(int(place), len(HORIZONS_S) - 2)
    share = float(place) - below
    between: Floats = by_horizon[below] * (1 - share) + by_horizon[below + 1] * share
    return between

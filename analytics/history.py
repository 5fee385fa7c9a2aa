"""Load history: the forecaster, fed with what the store has counted.

The first read replays the last hour, and takes the shape from all arrivals there are; later ones
read what has come since. Events that came late are missing until it begins anew, every ten minutes.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from analytics.forecast import BUCKET_S, LoadBucket, LoadForecast, LoadForecaster, RateShape
from analytics.forecast.bucket import Floats
from analytics.forecast.shape import SLOT_S
from analytics.traffic import TrafficReader

REPLAYED_S = 3600.0
SHAPE_S = 7 * 86400.0
BEGIN_ANEW_S = 600.0
LATE_S = 1.0
"""Events are in the store at the latest this long after they happened, while it is reachable."""

_COUNTED = ("arrivals", "ended", "tokens", "squared_tokens", "busy_s", "concurrency")
"""The columns of `load_buckets` in the order of a bucket's fields."""

Flow = tuple[str, str]
"""A model and a class."""


class LoadHistory:
    """Forecasts of some flows out of one store. Not thread-safe."""

    def __init__(self, flows: Sequence[Flow]) -> None:
        self._flows = list(flows)
        self._numbers = pl.DataFrame(
            [(*flow, number) for number, flow in enumerate(flows)],
            schema={"model": pl.String, "request_class": pl.String, "flow": pl.Int64},
            orient="row",
        )
        self._forecaster = LoadForecaster(len(self._flows))
        self._began_s = -math.inf
        self._read_to_s = 0.0

    def forecasts(
        self, reader: TrafficReader, now_s: float, horizon_s: float
    ) -> dict[Flow, LoadForecast]:
        """Read what is new, and forecast. Raises what the reader raises."""
        until_s = math.floor((now_s - LATE_S) / BUCKET_S) * BUCKET_S
        if not 0 <= now_s - self._began_s < BEGIN_ANEW_S:
            self._begin(reader, until_s)
            self._began_s = now_s
        for bucket in self._new_buckets(reader, until_s):
            self._forecaster.observe(bucket)
            self._read_to_s = bucket.start_s + BUCKET_S
        return dict(zip(self._flows, self._forecaster.forecast(horizon_s), strict=True))

    def _begin(self, reader: TrafficReader, until_s: float) -> None:
        """A new forecaster, with the shape of all that was before the replayed hour."""
        replay_from_s = until_s - REPLAYED_S
        counted = reader.query(
            "FROM arrivals_by_slot($since_s, $until_s, $slot_s)",
            {"since_s": replay_from_s - SHAPE_S, "until_s": replay_from_s, "slot_s": SLOT_S},
        )
        self._forecaster = LoadForecaster(len(self._flows), shape=self._shape(counted))
        first = reader.query("SELECT min(arrived_at) AS at_s FROM request_arrivals")["at_s"][0]
        seen_from_s = until_s if first is None else math.floor(first / BUCKET_S) * BUCKET_S
        self._read_to_s = max(replay_from_s, min(seen_from_s, until_s))

    def _shape(self, counted: pl.DataFrame) -> RateShape:
        shape = RateShape(len(self._flows))
        if counted.height:
            first, last = int(counted["bucket"][0]), int(counted["bucket"][-1])
            (grid,) = self._grids(counted, first, last + 1, ("arrivals",))
            for place, arrivals in enumerate(grid):
                shape.add((first + place) * SLOT_S, arrivals, SLOT_S)
        return shape

    def _new_buckets(self, reader: TrafficReader, until_s: float) -> Iterator[LoadBucket]:
        since_s = self._read_to_s
        if until_s <= since_s:
            return
        counted = reader.query(
            "FROM load_buckets($since_s, $until_s, $bucket_s)",
            {"since_s": since_s, "until_s": until_s, "bucket_s": BUCKET_S},
        )
        first, end = round(since_s / BUCKET_S), round(until_s / BUCKET_S)
        grids = self._grids(counted, first, end, _COUNTED)
        for place, columns in enumerate(zip(*grids, strict=True)):
            yield LoadBucket((first + place) * BUCKET_S, *columns)

    def _grids(
        self, counted: pl.DataFrame, first: int, end: int, columns: Sequence[str]
    ) -> list[Floats]:
        """For each column a value for every bucket from `first` and every flow, else 0."""
        known = counted.join(self._numbers, on=["model", "request_class"]).filter(
            pl.col("bucket").is_between(first, end, closed="left")
        )
        places = (known["bucket"].to_numpy() - first, known["flow"].to_numpy())
        grids = []
        for column in columns:
            grid = np.zeros((end - first, len(self._flows)))
            grid[places] = known[column]
            grids.append(grid)
        return grids

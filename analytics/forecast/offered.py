"""Offered load as it happens: requests are counted when they come, and forecast from there.

For whoever sees every request, as the simulator does. The control plane reads counted buckets
from the store instead (`analytics.history`), into the same forecaster.
"""

from analytics.forecast.forecaster import LoadForecast, LoadForecaster
from analytics.forecast.meter import LoadMeter


class OfferedLoad:
    """The load of several flows, each known by its number."""

    def __init__(self, flows: int, start_s: float) -> None:
        self._meter = LoadMeter(flows, start_s)
        self._forecaster = LoadForecaster(flows)

    def arrive(self, flow: int, at_s: float) -> None:
        """A request arrived."""
        if at_s >= self._meter.closes_at_s:
            self.advance(at_s)
        self._meter.arrive(flow, at_s)

    def end(self, flow: int, at_s: float, tokens: float) -> None:
        """A request ended, with so many prompt and output tokens."""
        if at_s >= self._meter.closes_at_s:
            self.advance(at_s)
        self._meter.end(flow, at_s, tokens)

    def advance(self, now_s: float) -> None:
        """Close the buckets that are over by now."""
        for bucket in self._meter.close(now_s):
            self._forecaster.observe(bucket)

    def forecast(self, now_s: float, horizon_s: float) -> list[LoadForecast]:
        """What is to be expected of every flow in the `horizon_s` after `now_s`."""
        self.advance(now_s)
        return self._forecaster.forecast(horizon_s)

"""Demand with what is to be expected."""

import pytest

from analytics.forecast import LoadForecast
from analytics.traffic import ModelTraffic
from orchestration.allocation.load.demand import (
    ASSUMED_REQUEST_TOKENS,
    BatchBacklog,
    Expected,
    ModelDemand,
    Outlook,
    offered_work,
)
from tests.orchestration.building import a_fleet, a_model, traffic

FLEET = a_fleet([a_model("m")], hosts=1)


def forecast(mean: float, *, activity: float = 0.5, peak: float = 3.0) -> LoadForecast:
    return LoadForecast(
        horizon_s=60.0,
        mean_tokens_per_s=mean,
        sd_tokens_per_s=mean / 2,
        short_tokens_per_s=mean,
        long_tokens_per_s=mean,
        request_tokens=500.0,
        dispersion=1.0,
        activity=activity,
        peak_concurrency=peak,
    )


def demand(outlook: Outlook, *rows: ModelTraffic) -> ModelDemand:
    return offered_work(FLEET, rows, {}, outlook)["m"]


def test_a_forecast_is_what_is_expected() -> None:
    found = demand(Outlook(forecasts={("m", "interactive"): forecast(80.0)}))
    assert found.interactive_expected == Expected(mean_tokens_per_s=80.0, sd_tokens_per_s=40.0)
    assert found.peak_interactive == 3.0


def test_without_a_forecast_it_is_expected_to_stay_as_it_is() -> None:
    found = demand(Outlook(), traffic("m", waiting=4))
    assert found.interactive_expected.mean_tokens_per_s == found.interactive_tokens_per_s > 0
    assert (found.activity, found.peak_interactive) == (None, 4.0)


def test_nothing_seen_is_nothing_expected() -> None:
    found = demand(Outlook())
    assert (found.activity, found.interactive_expected) == (None, Expected())


def test_activity_is_of_both_classes() -> None:
    both = {("m", c): forecast(1.0, activity=0.5) for c in ("interactive", "batch")}
    assert demand(Outlook(forecasts=both)).activity == pytest.approx(0.75)


def test_the_backlog_is_counted_in_typical_requests() -> None:
    backlog = {"m": BatchBacklog(requests=10, due_requests_per_s=0.2)}
    known = demand(Outlook(forecasts={("m", "batch"): forecast(1.0)}, backlog=backlog))
    assert (known.batch_backlog_tokens, known.batch_due_tokens_per_s) == (5000.0, 100.0)
    unknown = demand(Outlook(backlog=backlog))
    assert unknown.batch_backlog_tokens == 10 * ASSUMED_REQUEST_TOKENS

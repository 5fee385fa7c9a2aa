"""Forecasts: what holds for any traffic, and what for plain cases."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.forecast import BUCKET_S, LoadBucket, LoadForecast, LoadForecaster
from analytics.forecast.bucket import empty_bucket

Counts = list[tuple[int, float]]
"""Arrivals of a bucket and the tokens of each."""

bursts = st.lists(st.tuples(st.integers(0, 200), st.floats(1.0, 10_000.0)), min_size=1, max_size=60)
horizons = st.floats(1.0, 2000.0)


def bucket(start_s: float, arrivals: float, tokens: float = 100.0) -> LoadBucket:
    """One flow; as many end as arrive, at once."""
    one = np.array([float(arrivals)])
    return LoadBucket(
        start_s, one, one, one * tokens, one * tokens**2, np.minimum(one, BUCKET_S), one
    )


def fed(counts: Counts, *, assumed_tokens: float = 256.0, scale: float = 1.0) -> LoadForecaster:
    forecaster = LoadForecaster(1, assumed_tokens=assumed_tokens)
    for place, (arrivals, tokens) in enumerate(counts):
        forecaster.observe(bucket(place * BUCKET_S, arrivals, tokens * scale))
    return forecaster


def forecast(forecaster: LoadForecaster, horizon_s: float = 60.0) -> LoadForecast:
    (found,) = forecaster.forecast(horizon_s)
    return found


def numbers(found: LoadForecast) -> list[float]:
    return [getattr(found, name) for name in LoadForecast.__struct_fields__]


@given(bursts, horizons)
def test_nothing_is_ever_negative_or_endless(counts: Counts, horizon_s: float) -> None:
    found = forecast(fed(counts), horizon_s)
    assert all(np.isfinite(number) and number >= 0 for number in numbers(found))
    assert found.activity <= 1


@given(bursts, st.floats(0.01, 100.0), horizons)
def test_requests_twice_as_large_are_twice_the_load(
    counts: Counts, scale: float, horizon_s: float
) -> None:
    plain = forecast(fed(counts), horizon_s)
    scaled = forecast(fed(counts, assumed_tokens=256.0 * scale, scale=scale), horizon_s)
    for name in ("mean_tokens_per_s", "short_tokens_per_s", "long_tokens_per_s"):
        assert getattr(scaled, name) == pytest.approx(getattr(plain, name) * scale, rel=1e-6)
    assert scaled.sd_tokens_per_s == pytest.approx(
        plain.sd_tokens_per_s * scale, rel=1e-3, abs=1e-3 * scale
    )


@given(bursts)
def test_the_same_traffic_gives_the_same_forecast(counts: Counts) -> None:
    assert forecast(fed(counts)) == forecast(fed(counts))


@settings(max_examples=20)
@given(st.integers(1, 100), horizons)
def test_steady_traffic_is_forecast_as_it_is(arrivals: int, horizon_s: float) -> None:
    found = forecast(fed([(arrivals, 100.0)] * 500), horizon_s)
    load = arrivals * 100.0 / BUCKET_S
    assert found.mean_tokens_per_s == pytest.approx(load, rel=0.02)
    assert found.short_tokens_per_s == pytest.approx(load, rel=0.02)
    assert found.long_tokens_per_s == pytest.approx(load, rel=0.02)
    assert found.dispersion < 0.2


@given(st.lists(st.floats(-1e7, 1e7), min_size=1, max_size=30))
def test_gaps_and_clocks_put_back_do_no_harm(starts_s: Sequence[float]) -> None:
    forecaster = LoadForecaster(1)
    for start_s in starts_s:
        forecaster.observe(bucket(start_s, 10))
    found = forecast(forecaster)
    assert all(np.isfinite(number) and number >= 0 for number in numbers(found))
    assert found.mean_tokens_per_s == pytest.approx(10 / BUCKET_S * found.request_tokens, rel=1e-3)


def test_what_nobody_observed_is_not_taken_for_silence() -> None:
    forecaster = fed([(20, 100.0)] * 200)
    before = forecast(forecaster)
    forecaster.observe(bucket(200 * BUCKET_S + 3600.0, 20))
    assert forecast(forecaster).mean_tokens_per_s == pytest.approx(
        before.mean_tokens_per_s, rel=0.05
    )


def test_nothing_observed_is_no_load() -> None:
    assert forecast(LoadForecaster(1)).mean_tokens_per_s == 0.0


def test_silence_ends_the_load_but_is_remembered_in_the_long_average() -> None:
    found = forecast(fed([(20, 100.0)] * 200 + [(0, 1.0)] * 100), 10.0)
    assert found.short_tokens_per_s < 5
    assert found.mean_tokens_per_s < found.long_tokens_per_s


def test_bursts_make_it_less_sure_than_even_traffic_of_the_same_rate() -> None:
    even = forecast(fed([(10, 100.0)] * 400))
    bursty = forecast(fed(([(0, 1.0)] * 19 + [(200, 100.0)]) * 20))
    assert bursty.dispersion > 10 * even.dispersion
    assert bursty.sd_tokens_per_s > 3 * even.sd_tokens_per_s


def test_a_poisson_process_has_a_dispersion_of_about_one() -> None:
    random = np.random.default_rng(7)
    found = forecast(fed([(int(n), 100.0) for n in random.poisson(15, 2000)]), 10.0)
    assert 0.6 < found.dispersion < 1.6


def test_requests_that_have_not_ended_count_as_typical_ones() -> None:
    forecaster = fed([(4, 500.0)] * 300)
    running = empty_bucket(300 * BUCKET_S, 1)
    arrived = LoadBucket(running.start_s, np.array([40.0]), *[running.ended] * 5)
    before = forecast(forecaster, 10.0).short_tokens_per_s
    forecaster.observe(arrived)
    found = forecast(forecaster, 10.0)
    assert found.request_tokens == pytest.approx(500, rel=0.01)
    assert found.short_tokens_per_s > 1.5 * before


def test_flows_do_not_touch_each_other_once_their_requests_are_known() -> None:
    alone, beside = LoadForecaster(2), LoadForecaster(2)
    for place in range(400):
        for forecaster, other in ((alone, 0.0), (beside, 50.0)):
            arrivals = np.array([5.0, other])
            nothing = np.zeros(2)
            forecaster.observe(
                LoadBucket(
                    place * BUCKET_S,
                    arrivals,
                    arrivals,
                    arrivals * 80,
                    arrivals * 80**2,
                    nothing,
                    nothing,
                )
            )
    first, second = alone.forecast(60.0)[0], beside.forecast(60.0)[0]
    assert first.mean_tokens_per_s == pytest.approx(second.mean_tokens_per_s, rel=0.01)


def test_longer_horizons_average_chance_away() -> None:
    random = np.random.default_rng(3)
    forecaster = fed([(int(n), 100.0) for n in random.poisson(5, 2000)])
    deviations = [forecast(forecaster, h).sd_tokens_per_s for h in (10.0, 60.0, 300.0)]
    assert deviations[0] > deviations[1] > deviations[2]

"""Expected work beyond what replicas do in time."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.allocation.choosing.seats import LEAST_LATE
from orchestration.allocation.load.shortfall import enough, shortfall, spread

loads = st.just(0.0) | st.floats(1e-6, 50)
concurrencies = st.floats(1, 256)


@given(loads, concurrencies, st.floats(0, 5))
def test_every_replica_avoids_no_more_than_the_one_before(
    load: float, concurrency: float, forecast_sd: float
) -> None:
    sd = spread(load, concurrency=concurrency, forecast_sd=forecast_sd)
    late = [shortfall(load, sd, replicas) for replicas in range(60)]
    avoided = [before - after for before, after in pairwise(late)]

    assert late[0] == pytest.approx(load)
    assert all(one >= -1e-9 for one in avoided)
    assert all(first >= second - 1e-9 for first, second in pairwise(avoided))


@given(loads, concurrencies)
def test_beyond_enough_a_replica_is_not_worth_having(load: float, concurrency: float) -> None:
    sd = spread(load, concurrency=concurrency)

    most = max(1, enough(load, sd))

    assert shortfall(load, sd, most) - shortfall(load, sd, most + 1) <= LEAST_LATE


def test_the_more_requests_a_replica_serves_at_once_the_closer_it_may_be_loaded() -> None:
    few = shortfall(0.9, spread(0.9, concurrency=2), 1)
    many = shortfall(0.9, spread(0.9, concurrency=64), 1)

    assert many < few


def test_an_unsure_forecast_asks_for_more_than_a_sure_one() -> None:
    sure = shortfall(1.5, spread(1.5, concurrency=32), 2)
    unsure = shortfall(1.5, spread(1.5, concurrency=32, forecast_sd=0.7), 2)

    assert unsure > sure


def test_load_that_is_known_exactly_is_late_as_far_as_it_is_too_much() -> None:
    assert shortfall(2.5, 0.0, 2) == pytest.approx(0.5)
    assert shortfall(1.5, 0.0, 2) == 0.0

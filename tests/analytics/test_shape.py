"""Shapes of days and weeks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.forecast import RateShape
from analytics.forecast.shape import DAY_S, SLOT_S, SLOTS


def shape_of(days: int, daily: list[float]) -> RateShape:
    """Requests a slot by hour of the day, the same every day."""
    shape = RateShape(1)
    for slot in range(days * SLOTS):
        hour = int(slot * SLOT_S % DAY_S // 3600)
        shape.add(slot * SLOT_S, np.array([daily[hour]]), SLOT_S)
    return shape


def office_hours() -> list[float]:
    return [90.0 if 8 <= hour < 18 else 9.0 for hour in range(24)]


def test_a_day_seen_often_is_known() -> None:
    shape = shape_of(14, office_hours())
    noon, night = shape.per_s(15 * DAY_S + 12 * 3600.0)[0], shape.per_s(15 * DAY_S)[0]
    assert noon == pytest.approx(90 / SLOT_S, rel=0.1)
    assert night == pytest.approx(9 / SLOT_S, rel=0.5)


def test_a_day_seen_once_is_half_believed() -> None:
    shape = shape_of(1, office_hours())
    shape.add(DAY_S, np.array([9.0]), SLOT_S)
    mean = np.mean(office_hours()) / SLOT_S
    noon = shape.per_s(DAY_S + 12 * 3600.0)[0]
    assert mean < noon < 90 / SLOT_S
    assert noon == pytest.approx((mean + 90 / SLOT_S) / 2, rel=0.15)


def test_weekends_are_known_apart() -> None:
    shape = RateShape(1)
    for day in range(28):
        weekend = (day + 3) % 7 >= 5
        for slot in range(SLOTS):
            count = np.array([10.0 if weekend else 50.0])
            shape.add(day * DAY_S + slot * SLOT_S, count, SLOT_S)
    thursday, saturday = 28 * DAY_S, 30 * DAY_S
    assert shape.per_s(saturday)[0] < 0.6 * shape.per_s(thursday)[0]


def test_shapes_go_on_around_midnight() -> None:
    daily = [0.0] * 24
    daily[0] = 100.0
    shape = shape_of(10, daily)
    last_slot, before_it = 11 * DAY_S - SLOT_S, 11 * DAY_S - 3 * SLOT_S
    assert shape.per_s(last_slot)[0] > 2 * shape.per_s(before_it)[0]


def test_nothing_seen_is_no_rate() -> None:
    assert RateShape(2).per_s(0.0).tolist() == [0.0, 0.0]


@given(
    st.lists(st.tuples(st.floats(-1e9, 4e9), st.integers(0, 10_000)), min_size=1, max_size=60),
    st.floats(-1e9, 4e9),
)
def test_a_rate_is_never_negative_or_endless(counts: list[tuple[float, int]], at_s: float) -> None:
    shape = RateShape(1)
    for start_s, count in counts:
        shape.add(start_s, np.array([float(count)]), 5.0)
    rate = shape.per_s(at_s)[0]
    assert np.isfinite(rate)
    assert rate >= 0

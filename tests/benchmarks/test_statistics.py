"""Summaries of samples, against values worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.statistics import mean, median, quantile, ratio

SAMPLES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


def test_quantiles_interpolate_between_samples() -> None:
    assert quantile([4, 1, 3, 2], 0.5) == 2.5
    assert quantile([0, 10], 0.95) == pytest.approx(9.5)
    assert quantile([7], 0.99) == 7


def test_a_ratio_is_that_of_the_medians() -> None:
    assert ratio([2, 2, 100], [1, 1, 1]) == 2
    assert ratio([1, 2, 3], [4]) == 0.5


def test_nothing_measured_is_no_number_rather_than_zero() -> None:
    for value in (median([]), mean([]), quantile([], 0.9), ratio([1.0], []), ratio([1.0], [0.0])):
        assert math.isnan(value)


def test_a_share_outside_zero_to_one_is_refused() -> None:
    with pytest.raises(ValueError, match="share"):
        quantile([1.0], 95)


@given(SAMPLES, st.floats(0, 1), st.floats(0, 1))
def test_quantiles_lie_within_the_samples_and_grow_with_the_share(
    samples: list[float], one: float, other: float
) -> None:
    low, high = sorted((quantile(samples, min(one, other)), quantile(samples, max(one, other))))
    margin = 1e-6
    assert min(samples) - margin <= low
    assert high <= max(samples) + margin
    assert quantile(samples, min(one, other)) <= quantile(samples, max(one, other)) + margin

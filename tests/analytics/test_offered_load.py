"""Counting requests as they come."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.forecast import BUCKET_S, LoadBucket, OfferedLoad
from analytics.forecast.meter import LoadMeter


def totals(buckets: list[LoadBucket], name: str) -> float:
    return float(sum(getattr(bucket, name)[0] for bucket in buckets))


def test_a_request_is_in_the_bucket_it_arrives_in_and_its_tokens_where_it_ends() -> None:
    meter = LoadMeter(1, 100.0)
    meter.arrive(0, 101.0)
    first = list(meter.close(106.0))
    meter.end(0, 107.0, 30)
    second = list(meter.close(110.0))
    assert [(b.start_s, b.arrivals[0], b.tokens[0]) for b in first + second] == [
        (100.0, 1.0, 0.0),
        (105.0, 0.0, 30.0),
    ]
    assert [b.busy_s[0] for b in first + second] == [4.0, 2.0]


def test_time_with_two_requests_is_busy_once() -> None:
    meter = LoadMeter(1, 0.0)
    for at_s in (1.0, 1.5):
        meter.arrive(0, at_s)
    for at_s in (2.0, 3.0):
        meter.end(0, at_s, 1)
    (bucket,) = meter.close(5.0)
    assert bucket.busy_s[0] == pytest.approx(2.0)
    assert bucket.concurrency[0] == 2


def test_a_request_that_goes_on_is_present_in_every_bucket() -> None:
    meter = LoadMeter(1, 0.0)
    meter.arrive(0, 0.0)
    buckets = list(meter.close(20.0))
    assert [b.busy_s[0] for b in buckets] == [BUCKET_S] * 4
    assert [b.concurrency[0] for b in buckets] == [1.0] * 4


def test_a_request_without_tokens_says_nothing_of_sizes() -> None:
    meter = LoadMeter(1, 0.0)
    meter.arrive(0, 0.0)
    meter.end(0, 1.0, 0)
    (bucket,) = meter.close(5.0)
    assert (bucket.arrivals[0], bucket.ended[0]) == (1.0, 0.0)


def test_buckets_close_by_themselves_when_later_requests_come() -> None:
    load = OfferedLoad(1, 0.0)
    for second in range(600):
        load.arrive(0, float(second))
        load.end(0, second + 0.5, 100)
    (found,) = load.forecast(600.0, 60.0)
    assert found.mean_tokens_per_s == pytest.approx(100, rel=0.1)
    assert found.activity == pytest.approx(0.5, abs=0.01)
    assert found.peak_concurrency == pytest.approx(1.0)


moments = st.lists(
    st.tuples(st.floats(-20.0, 5000.0), st.booleans(), st.integers(0, 1000)), max_size=60
)


@given(moments)
def test_every_request_is_counted_once_whatever_the_clock_does(
    steps: list[tuple[float, bool, int]],
) -> None:
    meter, now_s = LoadMeter(1, 0.0), 0.0
    buckets: list[LoadBucket] = []
    for step_s, arrives, tokens in steps:
        now_s = now_s + step_s
        buckets += meter.close(now_s)
        if arrives:
            meter.arrive(0, now_s)
        else:
            meter.end(0, now_s, tokens)
    buckets += meter.close(now_s + 2 * BUCKET_S)
    assert totals(buckets, "arrivals") == sum(arrives for _, arrives, _ in steps)
    assert totals(buckets, "tokens") == sum(t for _, arrives, t in steps if not arrives)
    assert all(0 <= bucket.busy_s[0] <= BUCKET_S for bucket in buckets)
    assert all(np.isfinite(bucket.busy_s[0]) for bucket in buckets)

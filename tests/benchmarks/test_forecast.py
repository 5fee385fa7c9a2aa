"""Scoring forecasts of load."""

import numpy as np
import pytest
from polars import DataFrame

from analytics.forecast import BUCKET_S, LoadBucket
from analytics.forecast.bucket import Floats
from analytics.forecast.track_record import HORIZONS_S
from benchmarks.forecast.arms import OURS, arms
from benchmarks.forecast.counted import buckets_of
from benchmarks.forecast.scores import Score, scored
from simulation.trace import Trace, trace_of


def steady(seconds: int, *, every_s: float = 0.5, output_tokens: int = 40) -> Trace:
    count = int(seconds / every_s)
    return trace_of(
        DataFrame(
            {
                "arrival_s": [n * every_s for n in range(count)],
                "model": ["m"] * count,
                "input_tokens": [60] * count,
                "output_tokens": [output_tokens] * count,
                "class": ["interactive"] * count,
            }
        )
    )


class _Says:
    """Always the same forecast."""

    def __init__(self, mean: float, deviation: float) -> None:
        shape = (len(HORIZONS_S), 2)
        self._said = np.full(shape, mean), np.full(shape, deviation)

    def observe(self, bucket: LoadBucket) -> None:
        """It knows already."""

    def forecast(self) -> tuple[Floats, Floats]:
        return self._said


def first(arm: object) -> Score:
    score = scored(arm, *buckets_of(steady(1200)))[0]  # type: ignore[arg-type]
    assert score is not None
    return score


def test_the_truth_scores_best_and_what_is_far_off_worst() -> None:
    truth, near, far = (first(_Says(mean, 1.0)) for mean in (200.0, 220.0, 400.0))
    assert truth.pinball < near.pinball < far.pinball
    assert truth.bias == pytest.approx(1.0)
    assert far.below_90 == 1.0


def test_forecasts_that_are_too_sure_of_too_little_fail_their_quantiles() -> None:
    assert first(_Says(100.0, 1.0)).below_99 == 0.0


@pytest.mark.parametrize("name", arms(2))
def test_every_way_knows_steady_traffic(name: str) -> None:
    score = first(arms(2)[name]())
    assert score.bias == pytest.approx(1.0, abs=0.05)
    assert score.pinball < 0.05


def test_a_trace_too_short_for_a_horizon_has_no_score_for_it() -> None:
    scores = scored(arms(2)[OURS](), *buckets_of(steady(200)))
    assert scores[0] is not None
    assert scores[-1] is None


def test_what_is_told_of_tokens_comes_when_requests_end() -> None:
    told, true = buckets_of(steady(60, output_tokens=1000))
    assert sum(bucket.arrivals[0] for bucket in told) == sum(b.arrivals[0] for b in true)
    assert 0 < sum(b.tokens[0] for b in told) < sum(b.tokens[0] for b in true)
    assert [bucket.start_s for bucket in told] == [n * BUCKET_S for n in range(len(told))]

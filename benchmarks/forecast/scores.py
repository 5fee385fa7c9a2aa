"""How good a forecast was: pinball loss over quantiles, and how often the truth lay below them.

Mean and deviation are made a gamma distribution, as load is never negative and its bursts have a
long tail; its quantiles by Wilson and Hilferty (1931).
"""

from dataclasses import dataclass

import numpy as np

from analytics.forecast.bucket import BUCKET_S, Floats, LoadBucket
from analytics.forecast.track_record import HORIZONS_S
from benchmarks.forecast.arms import Arm

QUANTILES = np.array([0.1, 0.5, 0.9, 0.99])
_NORMAL = np.array([-1.2815516, 0.0, 1.2815516, 2.3263479])
WARM_UP_S = 3600.0
"""Not scored; a fifth of a short trace."""
MOST_FORECASTS = 5_000
"""Scored of a trace, at equal distances."""


@dataclass(frozen=True)
class Score:
    """One arm on one trace at one horizon."""

    pinball: float
    """Mean of the quantiles' losses, as a share of the load."""
    below_90: float
    """Share of forecasts whose 90 % quantile held; 0.9 is right."""
    below_99: float
    bias: float
    """Mean forecast over mean load; 1 is right."""


def scored(arm: Arm, told: list[LoadBucket], true: list[LoadBucket]) -> list[Score | None]:
    """A score for every horizon; None where the trace is too short for it."""
    load = np.array([bucket.tokens for bucket in true]) / BUCKET_S
    so_far = np.vstack([np.zeros(load.shape[1]), np.cumsum(load, axis=0)])
    first = min(len(true) // 5, round(WARM_UP_S / BUCKET_S))
    stride = max(1, (len(true) - first) // MOST_FORECASTS)
    asked = range(first, len(true), stride)
    means, deviations = _forecasts(arm, told, asked)
    made_at = np.array(asked) + 1
    scores: list[Score | None] = []
    for horizon, horizon_s in enumerate(HORIZONS_S):
        span = round(horizon_s / BUCKET_S)
        due = made_at + span < len(so_far)
        if due.sum() * stride < 2 * span:
            scores.append(None)
            continue
        at = made_at[due]
        came = (so_far[at + span] - so_far[at]) / span
        scores.append(_score(came, means[due, horizon], deviations[due, horizon]))
    return scores


def _forecasts(arm: Arm, told: list[LoadBucket], asked: range) -> tuple[Floats, Floats]:
    """What the arm forecasts after each bucket whose place is in `asked`."""
    means, deviations = [], []
    for place, bucket in enumerate(told[: asked[-1] + 1]):
        arm.observe(bucket)
        if place in asked:
            mean, deviation = arm.forecast()
            means.append(mean)
            deviations.append(deviation)
    return np.array(means), np.array(deviations)


def _score(came: Floats, mean: Floats, deviation: Floats) -> Score:
    used = came.any(axis=0)
    came, mean = came[:, used], mean[:, used]
    quantiles = _gamma(mean, deviation[:, used])
    over = came[..., None] - quantiles
    loss = np.maximum(QUANTILES * over, (QUANTILES - 1) * over)
    held = (over <= 0).mean(axis=(0, 1))
    return Score(
        pinball=float(loss.mean() / came.mean()),
        below_90=float(held[2]),
        below_99=float(held[3]),
        bias=float(mean.mean() / came.mean()),
    )


def _gamma(mean: Floats, deviation: Floats) -> Floats:
    """Quantiles of gamma distributions, along a last axis."""
    least = 1e-9
    mean = np.maximum(mean, least)
    shape = np.maximum((mean / np.maximum(deviation, least * mean)) ** 2, least)[..., None]
    root = 1 - 1 / (9 * shape) + _NORMAL / (3 * np.sqrt(shape))
    quantiles: Floats = mean[..., None] * np.maximum(root, 0.0) ** 3
    return quantiles

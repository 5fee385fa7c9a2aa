"""The interactive cap as a control loop: as many generations compute as the service level allows.

The loop keeps an estimate of TPOT over the number of generations that compute: an expected curve
(`curve`) times a straight line fitted to what interactive generations see, by Bayesian regression
with forgetting. The prior of the line is "the expected curve, scaled": from samples at one batch
size alone the loop learns how fast the engine is now, and the curve says what other sizes do; its
shape is corrected as soon as sizes vary. The cap is the largest size whose estimate is within the
level, moved only when the estimate is beyond the level by more than its own error.
"""

from dataclasses import dataclass
from math import ceil, exp, hypot, sqrt

from serving.engine.decisions.curve import TpotCurve

MEMORY_STEPS = 256.0
"""A sample counts 1/e of its first weight after so many steps of the engine."""
SETTLING_STEPS = 16.0
"""So many steps are seen between two changes of the cap."""
PROBE_STEPS = 256.0
"""After so many steps at one cap, one more is tried if the samples do not say what it would do."""
LARGEST_RISE = 1.5
"""By this factor at most at once."""
_LEAST_ERROR = 0.01
_MOST_ERROR = 0.05
_LEAST_NOISE = 0.02
_DRIFT, _DRIFT_ERRORS = 0.1, 4.0
"""A TPOT that moved by this share, and by so many of its errors, is another engine's."""
_LEAST_GAP_S = 1e-5
"""Tokens that were read together come without a gap."""
_OUTLIER = 4.0
"""A sample counts as at most so many times the mean."""
_SHAPE_DOUBT = 0.5
"""How far off the curve's rise from half a batch size to all of it may well be."""


@dataclass
class _Samples:
    """Weighted sums over (x: generations computing, y: TPOT over the expected one)."""

    weight: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0
    yy: float = 0.0

    def add(self, x: float, y: float, weight: float) -> None:
        kept = exp(-weight / MEMORY_STEPS)
        self.weight = kept * self.weight + weight
        self.x = kept * self.x + weight * x
        self.y = kept * self.y + weight * y
        self.xx = kept * self.xx + weight * x * x
        self.xy = kept * self.xy + weight * x * y
        self.yy = kept * self.yy + weight * y * y


@dataclass(frozen=True)
class Estimate:
    """A line through the samples: TPOT over the expected one, with its error."""

    centre: float
    """Mean number of generations computing."""
    mean: float
    slope: float
    mean_error: float
    slope_error: float
    """One standard deviation of each, relative to the mean."""
    shape_known: bool
    """Whether the slope comes from the samples rather than from the prior."""

    def at(self, computing: int) -> float:
        """The factor to the expected curve."""
        return max(self.mean + self.slope * (computing - self.centre), self.mean / _OUTLIER)

    def error(self, computing: int) -> float:
        """One standard deviation of `at`, as a share of it."""
        error = hypot(self.mean_error, self.slope_error * (computing - self.centre))
        return min(max(error, _LEAST_ERROR), _MOST_ERROR)


def _estimate(samples: _Samples) -> Estimate:
    total = samples.weight
    centre, mean = samples.x / total, samples.y / total
    spread = max(0.0, samples.xx - total * centre**2)
    together = samples.xy - total * centre * mean
    least = (_LEAST_NOISE * mean) ** 2
    noise = max(samples.yy / total - mean**2, least)
    if spread > 0:
        noise = max(noise - (together / total) ** 2 / (spread / total), least)
    doubt = noise / (_SHAPE_DOUBT * mean / max(centre, 1.0)) ** 2
    return Estimate(
        centre=centre,
        mean=mean,
        slope=together / (spread + doubt),
        mean_error=sqrt(noise / total) / mean,
        slope_error=sqrt(noise / (spread + doubt)) / mean,
        shape_known=spread > doubt,
    )


class CapLoop:
    """The interactive cap of one model on one host."""

    def __init__(self, curve: TpotCurve, *, slots: int, level_s: float, first_cap: int) -> None:
        self.cap = first_cap
        self._curve, self._slots, self._level_s = curve, slots, level_s
        self._samples, self._recent = _Samples(), _Samples()
        self._steps = 0.0
        """Seen since the cap changed."""
        self._unjudged = 0.0
        """Seen since it was asked whether the cap should change: once a step is enough."""
        self._reach = 0.0
        """The largest number seen to compute lately."""

    def follow(self, curve: TpotCurve) -> None:
        """Begin again with a curve that was measured: its cap is the first."""
        self._curve = curve
        self._samples, self._recent = _Samples(), _Samples()
        self._begin()

    def keep_to(self, level_s: float) -> None:
        """From here on to another level; what was learned of the engine stays."""
        self._level_s = level_s
        self._begin()

    def _begin(self) -> None:
        """The cap is the largest size that the curve, at the pace seen last, has in the level."""
        samples = self._samples
        pace = samples.y / samples.weight if samples.weight >= SETTLING_STEPS else 1.0
        sizes = range(1, self._slots + 1)
        within = [n for n in sizes if pace * self._curve(n) <= self._level_s]
        self.cap, self._steps = max(within, default=1), 0.0

    def observe(self, computing: int, gap_s: float, weight: float = 1.0) -> None:
        """An interactive generation waited `gap_s` for a token while `computing` ran.

        Gaps of several generations in the same step share its `weight` of one.
        """
        ratio = max(gap_s, _LEAST_GAP_S) / self._curve(computing)
        if self._samples.weight >= 1.0:
            ratio = min(ratio, _OUTLIER * self._samples.y / self._samples.weight)
        self._samples.add(computing, ratio, weight)
        self._recent.add(computing, ratio, weight)
        self._steps += weight
        self._reach = max(computing, self._reach * exp(-weight / MEMORY_STEPS))
        if self._recent.weight >= SETTLING_STEPS:
            self._forget_what_is_no_longer_so()
        self._unjudged += weight
        if self._steps >= SETTLING_STEPS and self._unjudged >= 1.0:
            self._unjudged = 0.0
            self._move_to(self._wanted(_estimate(self._samples)))

    def _forget_what_is_no_longer_so(self) -> None:
        """If the same batch sizes give another TPOT now, the engine has changed: begin anew."""
        recent, known = _estimate(self._recent), _estimate(self._samples)
        moved = abs(recent.mean / known.mean - 1)
        # Between other sizes the difference may be the curve's shape.
        same_sizes = abs(recent.centre - known.centre) <= 0.5
        if same_sizes and moved > max(_DRIFT, _DRIFT_ERRORS * recent.mean_error):
            self._samples = self._recent
        self._recent = _Samples()

    def _move_to(self, cap: int) -> None:
        if cap != self.cap:
            self.cap, self._steps = cap, 0.0

    def _wanted(self, estimate: Estimate) -> int:
        centre = round(estimate.centre)

        def fitted_s(computing: int) -> float:
            return self._curve(computing) * estimate.at(computing)

        def tpot_s(computing: int) -> float:
            """It never falls with the batch, whatever noise says."""
            return max(fitted_s(computing), fitted_s(centre) if computing > centre else 0.0)

        cap = self.cap
        if tpot_s(cap) * (1 - estimate.error(cap)) > self._level_s:
            # At most halved at once: a disturbance of a moment must not empty the batch.
            while cap > max(1, self.cap // 2) and tpot_s(cap) > self._level_s:
                cap -= 1
            return cap
        highest = min(self._slots, max(cap, ceil(LARGEST_RISE * self._reach)))
        while cap < highest and tpot_s(cap + 1) * (1 + estimate.error(cap + 1)) <= self._level_s:
            cap += 1
        within = tpot_s(cap) * (1 + estimate.error(cap)) <= self._level_s
        probes = self._steps >= PROBE_STEPS and not estimate.shape_known
        return cap + 1 if cap == self.cap < highest and within and probes else cap

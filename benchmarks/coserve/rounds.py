"""Figures of an arm over those of another, round by round. Pure.

The arms of one round ran side by side, those of two rounds minutes apart, on a machine that others
may use. So a ratio is taken within each round, and the middle one of the rounds counts.
"""

from collections.abc import Callable

from benchmarks.coserve.samples import ArmSamples
from benchmarks.statistics import median, quantile

Values = Callable[[ArmSamples], list[float]]
"""Samples of one kind."""


def over(value: float, base: float) -> float:
    """The ratio; no number over nothing."""
    return value / base if base else float("nan")


def over_rounds(arm: ArmSamples, base: ArmSamples, figure: Callable[[ArmSamples], float]) -> float:
    """`figure` of `arm` over that of `base`, the middle one of the rounds that both have."""
    rounds = zip(arm.by_round(), base.by_round(), strict=False)
    return median([over(figure(one), figure(other)) for one, other in rounds])


def quantile_over_rounds(arm: ArmSamples, base: ArmSamples, values: Values, share: float) -> float:
    """The same for a quantile of samples."""
    return over_rounds(arm, base, lambda found: quantile(values(found), share))


def quantile_over(arm: ArmSamples, base: ArmSamples, values: Values, share: float) -> float:
    """The same with the samples of all rounds together."""
    return over(quantile(values(arm), share), quantile(values(base), share))

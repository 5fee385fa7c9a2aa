"""Sums over what was recorded of an arm, and over what its clients counted. Pure."""

from collections.abc import Sequence

from benchmarks.coserve.recorded import Recorded
from benchmarks.coserve.rounds import over
from benchmarks.coserve.samples import ArmSamples
from benchmarks.statistics import mean
from benchmarks.streams import Stream


def batch_rate(arm: ArmSamples) -> float:
    """Batch tokens per second, the mean of its windows."""
    return mean(arm.batch_tokens_per_s())


def recomputed_share(found: Sequence[Recorded]) -> float:
    """Tokens computed again, over those generated."""
    return over(total(found, "recomputed_tokens"), total(found, "output_tokens"))


def total(found: Sequence[Recorded], name: str) -> int:
    """The sum of one of its counts."""
    return sum(getattr(recorded, name) for recorded in found)


def harmed(streams: Sequence[Stream]) -> float:
    """Batch answers that broke, ended short or too long; those cut off by the window are whole."""
    if not streams:
        return float("nan")
    return sum(s.error is not None or s.tokens > s.question.max_tokens for s in streams)

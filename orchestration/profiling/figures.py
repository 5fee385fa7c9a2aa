"""From timed generations to the figures of a batch size. Pure."""

import math
import statistics
from collections.abc import Iterable, Sequence

import msgspec

from orchestration.errors import ProfileError
from orchestration.profiling.streams import Timed


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen once at a batch size."""

    tokens_per_s: float
    gaps_s: tuple[float, ...]
    """Times between two tokens of a generation, all generations together."""
    ttfts_s: tuple[float, ...]


class SizeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine does with `batch_size` generations running all the time."""

    batch_size: int
    tokens_per_s: float
    tpot_p50_s: float
    tpot_p99_s: float
    ttft_p50_s: float
    ttft_p99_s: float
    disturbed: int
    """Rounds thrown away because other work was on the engine."""


def batch_sizes(slots: int) -> list[int]:
    """1, 2, 4, … and the slots themselves."""
    doubled = [2**power for power in range(slots.bit_length()) if 2**power < slots]
    return [*doubled, slots]


def round_of(last: Timed, others: Iterable[Timed], ttfts_s: Iterable[float]) -> Round:
    """What was seen while the generation that came last was running, all others beside it."""
    start, end = last.arrivals[0][0], last.arrivals[-1][0]
    if end <= start:
        raise ProfileError(
            "the tokens of a generation came all at once, so nothing can be timed",
            where="the measurement",
            fix="Ask for more output_tokens.",
        )
    streams = [last, *others]
    tokens = sum(n for one in streams for at, n in one.arrivals if start < at <= end)
    return Round(
        tokens_per_s=tokens / (end - start),
        gaps_s=tuple(gap for one in streams for gap in _gaps(one, start, end)),
        ttfts_s=tuple(ttfts_s),
    )


def figures_of(batch_size: int, rounds: Sequence[Round], disturbed: int) -> SizeFigures:
    """The rounds of a batch size, put together."""
    gaps = [gap for one in rounds for gap in one.gaps_s]
    ttfts = [ttft for one in rounds for ttft in one.ttfts_s]
    return SizeFigures(
        batch_size=batch_size,
        tokens_per_s=statistics.median(one.tokens_per_s for one in rounds),
        tpot_p50_s=quantile(gaps, 0.5),
        tpot_p99_s=quantile(gaps, 0.99),
        ttft_p50_s=quantile(ttfts, 0.5),
        ttft_p99_s=quantile(ttfts, 0.99),
        disturbed=disturbed,
    )


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _gaps(one: Timed, start: float, end: float) -> list[float]:
    """Times between tokens in the window; tokens that came together share theirs."""
    gaps = []
    for (before, _), (at, tokens) in zip(one.arrivals, one.arrivals[1:], strict=False):
        if before >= start and at <= end:
            gaps += [(at - before) / tokens] * tokens
    return gaps

"""From timed generations to the figures of a batch size. Pure."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from orchestration.errors import ProfileError
from serving.wire import BatchSizePoint, BatchSizeProfile


@dataclass
class Timed:
    """When the tokens of one generation came, on the clock of `time.monotonic()`."""

    asked_at: float
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    """Time, and how many tokens came."""

    @property
    def ttft_s(self) -> float:
        """Time to first token."""
        return self.arrivals[0][0] - self.asked_at


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


def profile_of(
    model: str,
    hardware: str,
    measured_at: float,
    prompt_tokens: int,
    sizes: Iterable[SizeFigures],
) -> BatchSizeProfile:
    """The figures as hosts and planner know them."""
    return BatchSizeProfile(
        model=model,
        hardware=hardware,
        measured_at=measured_at,
        points=[
            BatchSizePoint(
                batch_size=size.batch_size,
                tpot_s=size.tpot_p50_s,
                ttft_s=size.ttft_p50_s,
                tokens_per_s=size.tokens_per_s,
            )
            for size in sizes
        ],
        prompt_tokens=prompt_tokens,
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

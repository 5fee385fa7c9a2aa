"""The load every arm gets: bursts of interactive requests over batch work without end. Pure.

Everything follows from a seed, so each arm sees the same requests at the same moments. Arrivals are
open-loop: a request comes when it is due, however the ones before it fare.
"""

import random
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from benchmarks.streams import Question

PERIOD_S = 4.5
"""From one burst to the next."""
PRESENT = 0.5
"""Share of the time with interactive work, when it is alone."""
SPREAD_S = 0.4
"""A burst's requests come within this long."""
LEAD_S = 1.0
"""Of a window, before its first burst."""
_BATCH_TOKENS = (64, 256)
_ANSWER_TOKENS = (16, 1024)
_ANSWER_SPREAD = 0.25
_BURSTS_TRIED = 200


@dataclass(frozen=True)
class Size:
    """How much interactive work there is."""

    name: str
    burst: int
    """Requests of one burst."""
    bursts: int
    """In one window: so many that the middle of its requests is not an accident of one of them."""


SIZES = (Size("light", 2, bursts=8), Size("heavy", 6, bursts=6))
SINGLE = Size("single", 1, bursts=8)
"""For two hosts: never interactive work on both."""


@dataclass(frozen=True)
class Arrival:
    """An interactive request, due so long after the window began."""

    at_s: float
    question: Question


def answer_tokens(size: Size, *, ttft_s: float, tpot_s: float) -> int:
    """Mean length of an answer, for bursts to be there for `PRESENT` of the time at this pace."""

    def present(mean_tokens: int) -> float:
        return _present(size, mean_tokens, ttft_s=ttft_s, tpot_s=tpot_s)

    shortest, longest = _ANSWER_TOKENS
    return shortest + bisect(range(shortest, longest), PRESENT, key=present)


def _present(size: Size, mean_tokens: int, *, ttft_s: float, tpot_s: float) -> float:
    """Share of the time in which a request of a burst is there, taken that none is slowed down."""
    ends = [0.0] * _BURSTS_TRIED
    for arrival in bursts(size, [""], seed=0, number=_BURSTS_TRIED, mean_tokens=mean_tokens):
        burst, after_s = divmod(arrival.at_s - LEAD_S, PERIOD_S)
        took_s = ttft_s + (arrival.question.max_tokens - 1) * tpot_s
        ends[int(burst)] = max(ends[int(burst)], after_s + took_s)
    return sum(min(end, PERIOD_S) for end in ends) / window_s(_BURSTS_TRIED)


def bursts(
    size: Size, texts: Sequence[str], seed: int, *, number: int, mean_tokens: int
) -> list[Arrival]:
    """`number` bursts, each with requests at random moments and of random lengths."""
    choice = random.Random(f"{size.name}-{seed}")  # noqa: S311 - reproducible, no secret
    found = []
    for burst in range(number):
        for place in range(size.burst):
            at_s = LEAD_S + burst * PERIOD_S + choice.uniform(0, SPREAD_S) * (place > 0)
            tokens = round(mean_tokens * choice.uniform(1 - _ANSWER_SPREAD, 1 + _ANSWER_SPREAD))
            found.append(Arrival(at_s, Question(choice.choice(texts), tokens)))
    return sorted(found, key=lambda arrival: arrival.at_s)


def halves(arrivals: Sequence[Arrival], number: int) -> tuple[list[Arrival], list[Arrival]]:
    """Two windows of half of the `number` bursts each, in place of one of all."""
    half_s = window_s(number // 2)
    early = [arrival for arrival in arrivals if arrival.at_s < half_s]
    late = [
        Arrival(arrival.at_s - half_s, arrival.question)
        for arrival in arrivals
        if arrival.at_s >= half_s
    ]
    return early, late


def window_s(number: int) -> float:
    """How long `number` bursts are watched."""
    return number * PERIOD_S


def batch_work(texts: Sequence[str], seed: int) -> Iterator[Question]:
    """Batch requests without end, of lengths that do not end together."""
    choice = random.Random(f"batch-{seed}")  # noqa: S311 - reproducible, no secret
    for _ in count():
        yield Question(choice.choice(texts), choice.randint(*_BATCH_TOKENS))

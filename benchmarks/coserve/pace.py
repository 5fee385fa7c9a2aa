"""How fast interactive work of one size is with nothing beside it, and what follows from it. Pure.

The lengths of the answers and the service level that ours is held to both come from here.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.coserve.ceiling import ProfilePoint, tpot_at
from benchmarks.coserve.workload import Size, answer_tokens
from benchmarks.statistics import mean, median
from benchmarks.streams import Stream

LEVEL_OVER_ALONE = 1.1
"""Service level for TPOT over the pace alone; the bound is 1.15."""
_LONGEST = 4.0
"""A time between tokens counts as at most so many times the median: the machine paused."""


@dataclass(frozen=True)
class Pace:
    """Interactive work of one size, alone."""

    ttft_s: float
    tpot_s: float
    """Both medians over requests."""
    undisturbed_tpot_s: float
    """The mean time per token while no other request's prompt was computed.

    What the interactive cap of a host is held to: prompts of interactive requests make everybody's
    TPOT longer, with batch work and without it.
    """

    @property
    def level_s(self) -> float:
        """The service level that lets batch work cost so much and no more."""
        return LEVEL_OVER_ALONE * self.undisturbed_tpot_s

    def answer_tokens(self, size: Size) -> int:
        """Mean length of an answer, for bursts to be there half of the time."""
        return answer_tokens(size, ttft_s=self.ttft_s, tpot_s=self.tpot_s)


def expected_pace(profile: Sequence[ProfilePoint], size: Size) -> Pace:
    """Before any request of the size was seen."""
    tpot_s = tpot_at(profile, size.burst)
    return Pace(min(point.ttft_s for point in profile), tpot_s, tpot_s)


def pace_of(streams: Sequence[Stream]) -> Pace:
    """Of requests that were all answered."""
    times = _undisturbed_s(streams)
    longest = _LONGEST * median(times)
    return Pace(
        ttft_s=median([stream.ttft_s for stream in streams]),
        tpot_s=median([stream.tpot_s for stream in streams]),
        undisturbed_tpot_s=mean([min(time, longest) for time in times]),
    )


def _undisturbed_s(streams: Sequence[Stream]) -> list[float]:
    """Times per token, without those in which a prompt of another request was there."""
    prompts = sorted((stream.asked_at, stream.times[0]) for stream in streams)
    began = [prompt[0] for prompt in prompts]
    found = []
    for stream in streams:
        pairs = zip(stream.times, stream.counts, strict=True)
        before_at, before = next(pairs)
        for at, count in pairs:
            earlier = prompts[: bisect_left(began, at)]
            if not any(first_token_at > before_at for _, first_token_at in earlier):
                found.append((at - before_at) / (count - before))
            before_at, before = at, count
    return found

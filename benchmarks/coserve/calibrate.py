"""What is measured before the arms: TPOT by batch size, and TPOT of each size's bursts alone.

The one says how much batch work the bounds leave room for. The other sets the length of the
answers, so that bursts are there half of the time on any machine, and the service level.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.coserve.ceiling import ProfilePoint
from benchmarks.coserve.segment import Load, run_segment
from benchmarks.coserve.workload import Size, bursts, window_s
from benchmarks.statistics import median
from benchmarks.streams import Endpoint, Question, Stream, require_served

BATCH_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_PROFILE_TOKENS = 40
_BURSTS = 2
_BURST_TOKENS = 64
_SEED = 7

Summary = Callable[[Sequence[float]], float]
"""From samples to one number."""


@dataclass(frozen=True)
class Alone:
    """Interactive work of one size with nothing beside it."""

    ttft_p50_s: float
    tpot_p50_s: float


def measure_alone(endpoint: Endpoint, size: Size, texts: Sequence[str]) -> Alone:
    """A few bursts, nothing else."""
    arrivals = bursts(size, texts, _SEED, number=_BURSTS, mean_tokens=_BURST_TOKENS)
    name = f"calibration-{size.name}"
    segment = run_segment(endpoint, Load(name, arrivals, window_s=window_s(_BURSTS)))
    streams = segment.interactive
    return Alone(
        ttft_p50_s=median([stream.ttft_s for stream in streams]),
        tpot_p50_s=median([stream.tpot_s for stream in streams]),
    )


def measure_profile(
    endpoint: Endpoint, slots: int, *, summary: Summary = median
) -> list[ProfilePoint]:
    """TPOT of batches of these sizes, up to `slots`; `summary` of the times between tokens."""
    sizes = [size for size in BATCH_SIZES if size <= slots]
    return [_point(endpoint, size, summary) for size in sizes]


def _point(endpoint: Endpoint, size: int, summary: Summary) -> ProfilePoint:
    work = iter([Question(f"{n}: what is new?", _PROFILE_TOKENS) for n in range(size)])
    load = Load(f"profile-{size}", batch=work, batch_streams=size, to_the_end=True)
    streams = run_segment(endpoint, load).batch
    require_served(streams, endpoint.url)
    ttft_s = median([stream.ttft_s for stream in streams])
    return ProfilePoint(size, shared_tpot_s(streams, summary), ttft_s)


def shared_tpot_s(streams: Sequence[Stream], summary: Summary = median) -> float:
    """The time between tokens while every stream was beyond its first and before its last."""
    began = max(stream.times[0] for stream in streams)
    ended = min(stream.times[-1] for stream in streams)
    return summary(
        [
            gap
            for stream in streams
            for at, gap in zip(stream.times[1:], stream.gaps_s(), strict=True)
            if began < at <= ended
        ]
    )

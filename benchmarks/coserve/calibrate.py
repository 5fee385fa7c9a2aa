"""What is measured before the arms: TPOT by batch size.

It says how much batch work the bounds leave room for, and interactive caps begin from it.
"""

from collections.abc import Callable, Iterable, Sequence

from benchmarks.coserve.ceiling import ProfilePoint
from benchmarks.coserve.segment import Load, run_segment
from benchmarks.statistics import median
from benchmarks.streams import Endpoint, Question, Stream, require_served

BATCH_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_PROFILE_TOKENS = 40

Summary = Callable[[Sequence[float]], float]
"""From samples to one number."""


def measure_profile(
    endpoint: Endpoint, slots: int, *, summary: Summary = median
) -> list[ProfilePoint]:
    """TPOT of batches of these sizes, up to `slots`; `summary` of the times between tokens."""
    sizes = [size for size in BATCH_SIZES if size <= slots]
    return [_point(endpoint, size, summary) for size in sizes]


def fastest(profiles: Iterable[Sequence[ProfilePoint]]) -> list[ProfilePoint]:
    """Of profiles over the same sizes the least of each: what disturbs can only add."""
    return [
        ProfilePoint(
            points[0].batch_size,
            min(point.tpot_s for point in points),
            min(point.ttft_s for point in points),
        )
        for points in zip(*profiles, strict=True)
    ]


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

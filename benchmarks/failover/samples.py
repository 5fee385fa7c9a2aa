"""What one run of the failover benchmark measured, before it is summarized."""

from dataclasses import dataclass, field

from benchmarks.timeline import Timeline


@dataclass(frozen=True)
class Failover:
    """One kill, until the model's minimum was there again."""

    timeline: Timeline
    killed: str
    killed_at: float
    """On the clock of `time.monotonic()`."""
    host_back_s: float
    """From the kill until the killed host served again."""


@dataclass
class FailoverSamples:
    """All kills, and what became of the requests."""

    failovers: list[Failover] = field(default_factory=list)
    gaps_s: list[float] = field(default_factory=list)
    """Of every stream that ran on a host when it was killed: its longest silence over the kill."""
    requests: int = 0
    lost: list[str] = field(default_factory=list)
    """What their clients saw."""

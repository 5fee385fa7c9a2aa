"""Everything one run of the batch benchmark measured, before it is summarized."""

from dataclasses import dataclass, field

from benchmarks.batch.comparison import Differences
from benchmarks.batch.kill_plan import Victim
from benchmarks.batch.offline import OfflineRun

VALIDATED_LINES = 10_000
SMALL_LINES, LARGE_LINES = 500, 50_000


@dataclass(frozen=True)
class BatchRun:
    """One batch through API, Dagster and gateway. Times are seconds since the epoch."""

    began_at: float
    """Just before its file was sent."""
    first_at: float
    """The gateway had its first request."""
    last_at: float
    """The last of its requests had ended."""
    completed_at: float
    """Its client saw that it was completed."""
    output_tokens: int

    @property
    def tokens_per_s(self) -> float:
        """Output tokens over the whole time, from sending the file."""
        return self.output_tokens / (self.completed_at - self.began_at)

    @property
    def busy_tokens_per_s(self) -> float:
        """Output tokens over the time with requests."""
        return self.output_tokens / (self.last_at - self.first_at)


@dataclass(frozen=True)
class ScaleRun:
    """A file of short rows, and what its batch took."""

    lines: int
    seconds: float
    peak_bytes: dict[str, int]
    """By process: the gateway, the run."""


@dataclass(frozen=True)
class Kill:
    """One process that was killed."""

    victim: Victim
    at: float
    """On the clock of `time.monotonic()`."""
    in_flight: int
    """Requests that it took with it, by the gateway's own count just before."""


@dataclass
class SurvivalSamples:
    """Batches that ran while processes were killed."""

    kills: list[Kill] = field(default_factory=list)
    batches: int = 0
    rows: int = 0
    """Of all these batches."""
    differences: Differences = field(default_factory=lambda: Differences(0, 0, 0))
    asked_again: int = 0
    """Requests with a row that was asked before, and had got at least a slot."""
    resumed: int = 0
    """Rows that went on elsewhere, after a prefill of what they had."""
    progress: list[tuple[float, int]] = field(default_factory=list)
    """Rows done so far, over `time.monotonic()`."""


@dataclass
class BatchSamples:
    """The whole run."""

    offline: list[OfflineRun] = field(default_factory=list)
    one_host: list[BatchRun] = field(default_factory=list)
    two_hosts: list[BatchRun] = field(default_factory=list)
    shared_offline: list[OfflineRun] = field(default_factory=list)
    """The file of prompts that share beginnings, in the order of the file."""
    shared: list[BatchRun] = field(default_factory=list)
    """The same through Turntable, which orders them."""
    validated_s: float = float("nan")
    """From creating a batch of `VALIDATED_LINES` lines to its being in progress."""
    scale: list[ScaleRun] = field(default_factory=list)
    """The small file first."""
    survival: SurvivalSamples = field(default_factory=SurvivalSamples)

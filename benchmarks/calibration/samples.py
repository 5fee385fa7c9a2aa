"""What one run of the calibration benchmark measured, before anything is fitted to it."""

from dataclasses import dataclass

from benchmarks.coserve.ceiling import ProfilePoint


@dataclass(frozen=True)
class Answered:
    """One request of the trace: when it came to the gateway, what it asked for, how it fared."""

    arrived_s: float
    """After the first one."""
    model: str
    batch: bool
    prompt_tokens: int
    output_tokens: int
    ttft_s: float
    tpot_s: float
    ended_s: float
    """After the first arrival."""


@dataclass(frozen=True)
class Prefill:
    """A prompt on an engine with nothing else to do."""

    prompt_tokens: int
    ttft_s: float


@dataclass(frozen=True)
class Swapped:
    """One hotswap during the trace."""

    from_tier: str
    total_s: float
    ordered_s: float | None
    """From the creation of its run to its beginning; None for a switch, which has no run."""


@dataclass(frozen=True)
class CalibrationSamples:
    """One trace on the real fleet, and what its engines were measured to do."""

    answered: list[Answered]
    client_later_s: list[float]
    """By how much each client saw its first token later than the gateway: HTTP, and its own turn on
    the cores that it shares with the fleet."""
    swaps: list[Swapped]
    profile: list[ProfilePoint]
    """Batch sizes of all hosts, each while the others did nothing."""
    together: list[ProfilePoint]
    """The same of all hosts at once."""
    prefills: list[Prefill]
    slots: int

"""Everything one run of the swap benchmark measured, before it is summarized."""

from dataclasses import dataclass, field

from serving.wire import SwapReport, Tier


@dataclass(frozen=True)
class Swap:
    """One hotswap, as the one who commanded it saw it."""

    report: SwapReport
    first_token_s: float
    """From sending the command to the first token of the model swapped in."""


@dataclass(frozen=True)
class SizedSwap:
    """A hotswap to a model of random weights."""

    weights_bytes: int
    from_tier: Tier
    first_token_s: float
    wake_s: float = float("nan")
    """Of that, until the engine had weights and KV cache again."""


@dataclass(frozen=True)
class DeviceLink:
    """What host memory is copied to: a group of devices, each with its own share of the weights."""

    devices: int
    bytes_per_s: float
    """To one of them, from pinned memory."""


@dataclass
class CycleSamples:
    """Many swaps in a row between two models."""

    swap_s: list[float] = field(default_factory=list)
    """From sending the command to its answer."""
    failures: int = 0
    compared: int = 0
    """Outputs compared with the first cycle's."""
    identical: int = 0
    memory_before_bytes: int = 0
    memory_after_bytes: int = 0


@dataclass
class LoadSamples:
    """Streams that ran on a host while it swapped their model away."""

    streams: int = 0
    failed: int = 0
    handed_back: int = 0
    longest_gaps_s: list[float] = field(default_factory=list)
    """One a stream: its longest time between two tokens."""


@dataclass
class SwapSamples:
    """The whole run."""

    stock_start_s: list[float] = field(default_factory=list)
    """From starting the stock server to its first token."""
    swaps: list[Swap] = field(default_factory=list)
    """Swaps to the model that the stock server has, or one exactly like it."""
    idle_beyond_weights_bytes: list[int] = field(default_factory=list)
    """Proportional memory of an asleep engine less its weights' bytes."""
    cycles: CycleSamples = field(default_factory=CycleSamples)
    load_fresh: LoadSamples = field(default_factory=LoadSamples)
    """Onto an engine that has served nothing before."""
    load: LoadSamples = field(default_factory=LoadSamples)
    """Onto an engine that has served."""
    sizes: list[SizedSwap] = field(default_factory=list)
    link: DeviceLink | None = None
    """None where the hosts run on CPU."""

    def first_token_s(self, tier: Tier) -> list[float]:
        """Command to first token, of the swaps from `tier`."""
        return [swap.first_token_s for swap in self.swaps if swap.report.from_tier == tier]

    def gaps_s(self) -> list[float]:
        """How long the host had no awake model, in swaps to an asleep one."""
        return [
            swap.report.service_gap_s for swap in self.swaps if swap.report.from_tier == "asleep"
        ]

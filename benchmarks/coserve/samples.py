"""Everything one run of the co-serving benchmark measured, before it is summarized."""

from dataclasses import dataclass, field

from benchmarks.coserve.ceiling import ProfilePoint, presence_of
from benchmarks.coserve.recorded import Recorded
from benchmarks.coserve.segment import Segment
from benchmarks.streams import Stream


@dataclass
class ArmSamples:
    """One arm under one size, over all rounds."""

    rounds: list[list[Segment]] = field(default_factory=list)
    """The segments of each round."""
    recorded: list[Recorded] = field(default_factory=list)
    """One a segment, where Turntable served it and there was batch work."""

    @property
    def segments(self) -> list[Segment]:
        """Those of all rounds."""
        return [segment for segments in self.rounds for segment in segments]

    def by_round(self) -> list["ArmSamples"]:
        """Each round for itself, without what was recorded."""
        return [ArmSamples([segments]) for segments in self.rounds]

    @property
    def interactive(self) -> list[Stream]:
        """Its interactive requests."""
        return [stream for segment in self.segments for stream in segment.interactive]

    @property
    def batch(self) -> list[Stream]:
        """Its batch requests."""
        return [stream for segment in self.segments for stream in segment.batch]

    def ttfts_s(self) -> list[float]:
        """Time to first token, one an interactive request."""
        return [stream.ttft_s for stream in self.interactive]

    def tpots_s(self) -> list[float]:
        """Time per token after the first, one an interactive request."""
        return [stream.tpot_s for stream in self.interactive]

    def longest_gaps_s(self) -> list[float]:
        """The longest time between two tokens, one an interactive request."""
        return [max(stream.gaps_s()) for stream in self.interactive]

    def gaps_s(self) -> list[float]:
        """Every time between two tokens of interactive requests."""
        return [gap for stream in self.interactive for gap in stream.gaps_s()]

    def batch_tokens_per_s(self) -> list[float]:
        """One a segment."""
        return [segment.batch_tokens_per_s() for segment in self.segments]

    def presence(self) -> dict[int, float]:
        """Share of the time by how many interactive requests were there; zero is left out."""
        found: dict[int, float] = {}
        for segment in self.segments:
            spans = [(s.asked_at, s.ended_at) for s in segment.interactive if s.ended_at]
            for number, share in presence_of(spans, segment.window_s).items():
                found[number] = found.get(number, 0.0) + share / len(self.segments)
        return found


@dataclass
class SizeSamples:
    """All arms under one size."""

    alone: ArmSamples = field(default_factory=ArmSamples)
    stock_alone: ArmSamples = field(default_factory=ArmSamples)
    stock: ArmSamples = field(default_factory=ArmSamples)
    ours: ArmSamples = field(default_factory=ArmSamples)
    levels_s: list[float] = field(default_factory=list)
    """The service level for TPOT that ours was held to, one a round."""


@dataclass
class TwoHostSamples:
    """One interactive request at a time on two hosts, half filled with batch work."""

    alone: ArmSamples = field(default_factory=ArmSamples)
    batch_alone: ArmSamples = field(default_factory=ArmSamples)
    ours: ArmSamples = field(default_factory=ArmSamples)


@dataclass
class RowSamples:
    """The same batch rows in float32, alone and beside interactive work."""

    undisturbed: list[Stream] = field(default_factory=list)
    disturbed: list[Stream] = field(default_factory=list)
    evictions: int = 0


@dataclass
class GatewaySamples:
    """The same chats through the gateway and straight from the stock server, in pairs."""

    added_ttft_s: list[float] = field(default_factory=list)
    """Of one request at a time: through the gateway, less straight."""
    tokens_per_s: list[float] = field(default_factory=list)
    """Of many streams at a time, through the gateway."""
    stock_tokens_per_s: list[float] = field(default_factory=list)
    """The same, straight from the stock server."""


@dataclass
class CoserveSamples:
    """The whole run."""

    sizes: dict[str, SizeSamples] = field(default_factory=dict)
    batch_alone: ArmSamples = field(default_factory=ArmSamples)
    profile: list[ProfilePoint] = field(default_factory=list)
    slots: int = 0
    two_hosts: TwoHostSamples = field(default_factory=TwoHostSamples)
    rows: RowSamples = field(default_factory=RowSamples)
    gateway: GatewaySamples = field(default_factory=GatewaySamples)

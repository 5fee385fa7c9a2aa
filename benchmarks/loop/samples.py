"""Everything one run of the loop benchmark measured, before it is summarized."""

from dataclasses import dataclass, field

from benchmarks.chat import Answer, Load


@dataclass
class ChatSamples:
    """One arm: how soon it answers after a start, and how it chats."""

    first_token_s: list[float] = field(default_factory=list)
    """From starting the process to the first token, one a round."""
    all_ready_s: list[float] = field(default_factory=list)
    """From starting the process until everything said it was ready, one a round."""
    single: list[Answer] = field(default_factory=list)
    """One stream at a time."""
    side_by_side: list[Load] = field(default_factory=list)
    """Several streams at a time."""


@dataclass(frozen=True)
class Shift:
    """Traffic came for a model without a replica."""

    model: str
    first_token_s: float
    """From sending the request to its first token."""
    hotswap_s: float
    """Of that, the hotswap on the engine host."""
    from_tier: str


@dataclass
class LoopSamples:
    """Both arms, and the shifts that only one of them can do."""

    turntable: ChatSamples = field(default_factory=ChatSamples)
    stock: ChatSamples = field(default_factory=ChatSamples)
    shifts: list[Shift] = field(default_factory=list)

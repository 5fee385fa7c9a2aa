"""Everything one run of the loop benchmark measured, before it is summarized."""

from dataclasses import dataclass, field

from benchmarks.chat import Answer, Load
from benchmarks.reaction.samples import Reaction
from benchmarks.reaction.switches import Switched


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


@dataclass
class LoopSamples:
    """Both arms, and the shifts that only one of them can do."""

    turntable: ChatSamples = field(default_factory=ChatSamples)
    stock: ChatSamples = field(default_factory=ChatSamples)
    shifts: list[Reaction] = field(default_factory=list)
    """By allocation runs."""
    switched: list[Switched] = field(default_factory=list)
    """Within a grant, where hosts share time."""

"""What gateway and engine host say to each other: a small versioned schema of our own.

Structs and their byte form only: no sockets, no vLLM types, no decisions. Change a struct in a
way an older peer would misread, and `WIRE_VERSION` goes up.
"""

from serving.wire.framing import FrameDecoder, encode_frame
from serving.wire.generation import (
    Admitted,
    Failed,
    Finished,
    Frame,
    GenerateRequest,
    HandedBack,
    HandedBackReason,
    Held,
    Released,
    RequestClass,
    SamplingSpec,
    StructuredSpec,
    TokenLogprobs,
    Tokens,
)
from serving.wire.grant import Grant, SwapKind, SwapPolicy, SwitchCommand
from serving.wire.host import (
    BatchSizePoint,
    BatchSizeProfile,
    ClassCounts,
    HostPhase,
    HostState,
    IdleTier,
    Standbys,
    SwapCommand,
    SwapOutcome,
    SwapReport,
    Tier,
    TierCommand,
    TierMove,
    TierReport,
    TpotLevel,
)
from serving.wire.version import WIRE_HEADER, WIRE_VERSION, check_wire_version

__all__ = [
    "WIRE_HEADER",
    "WIRE_VERSION",
    "Admitted",
    "BatchSizePoint",
    "BatchSizeProfile",
    "ClassCounts",
    "Failed",
    "Finished",
    "Frame",
    "FrameDecoder",
    "GenerateRequest",
    "Grant",
    "HandedBack",
    "HandedBackReason",
    "Held",
    "HostPhase",
    "HostState",
    "IdleTier",
    "Released",
    "RequestClass",
    "SamplingSpec",
    "Standbys",
    "StructuredSpec",
    "SwapCommand",
    "SwapKind",
    "SwapOutcome",
    "SwapPolicy",
    "SwapReport",
    "SwitchCommand",
    "Tier",
    "TierCommand",
    "TierMove",
    "TierReport",
    "TokenLogprobs",
    "Tokens",
    "TpotLevel",
    "check_wire_version",
    "encode_frame",
]

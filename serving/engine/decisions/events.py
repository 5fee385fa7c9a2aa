"""The events an engine host decides on. Data only; what it decides for is in `effects`."""

from dataclasses import dataclass, field

from serving.engine.protocol import DeviceMemory
from serving.wire import (
    BatchSizeProfile,
    Failed,
    Finished,
    Grant,
    HandedBack,
    IdleTier,
    RequestClass,
    SwapCommand,
    SwitchCommand,
    Tier,
)

Terminal = Finished | HandedBack | Failed


@dataclass(frozen=True)
class Submitted:
    """A generation arrived. `key` is unique on this host."""

    key: str
    model: str
    request_class: RequestClass
    evictable: bool
    tokens: int
    """Prompt and resumed tokens."""
    account: str = ""
    weight: float = 1.0
    """Of the account, against the others'."""
    remaining_tokens: int = 0
    """At most so many are to be generated."""
    resumed: bool = False
    deadline_s: float | None = None
    """How long from now it may take."""
    evictions: int = 0
    """Before it came here."""


@dataclass(frozen=True)
class Progressed:
    """Running generations got new tokens: how many, by key. Mostly one step's."""

    tokens: dict[str, int]


@dataclass(frozen=True)
class StreamEnded:
    """A generation left the engine, by itself (`frame`) or because it was halted (None)."""

    key: str
    frame: Finished | Failed | None


@dataclass(frozen=True)
class Cancelled:
    """Nobody wants this generation any more."""

    key: str


@dataclass(frozen=True)
class SwapAsked:
    """A hotswap command; `ticket` names it in the answer."""

    ticket: int
    command: SwapCommand


@dataclass(frozen=True)
class SwitchAsked:
    """Another model of the grant is to be awake; `ticket` names it in the answer."""

    ticket: int
    command: SwitchCommand


@dataclass(frozen=True)
class GrantAsked:
    """A plan says which models the host may have awake; `ticket` names it in the answer."""

    ticket: int
    grant: Grant


@dataclass(frozen=True)
class CancelAsked:
    """Nobody needs the hotswap of this plan any more; `ticket` names it in the answer."""

    ticket: int
    plan_id: int


@dataclass(frozen=True)
class TierAsked:
    """Bring a model that is not awake to a tier; `ticket` names the request in the answer."""

    ticket: int
    model: str
    tier: IdleTier
    asked_at: float


@dataclass(frozen=True)
class StepDone:
    """The transaction's step number `step` ended; `error` is None if it did what was asked."""

    step: int
    error: str | None = None


@dataclass(frozen=True)
class DrainExpired:
    """The bounded wait for generations that are not evictable is over."""

    step: int


@dataclass(frozen=True)
class HandBackDue:
    """The next generation of a staggered hand-back may leave."""

    step: int


@dataclass(frozen=True)
class EngineLost:
    """An engine died without being told to."""

    model: str
    reason: str


@dataclass(frozen=True)
class RetryDue:
    """Time to try again to start the model that should be awake."""


@dataclass(frozen=True)
class Moved:
    """A background change of tier ended, in `tier`; `error` if that was not the one asked for."""

    model: str
    tier: Tier
    error: str | None = None


@dataclass(frozen=True)
class Measured:
    """Memory of the engines, by model: host RAM, and what they hold of the device."""

    memory_bytes: dict[str, int]
    changes: int | None = None
    """How many changes of a tier there had been before it was measured (`Residency.changes`)."""
    device: dict[str, DeviceMemory] = field(default_factory=dict)


@dataclass(frozen=True)
class StandbysAsked:
    """What the control plane wants ready on this host, first one first, says plan `plan_id`."""

    ticket: int
    plan_id: int
    models: tuple[str, ...]


@dataclass(frozen=True)
class WeightsSeen:
    """The models whose weights are on disk."""

    models: frozenset[str]


@dataclass(frozen=True)
class Profiled:
    """A model was measured over batch sizes; `ticket` names who says so."""

    ticket: int
    profile: BatchSizeProfile


@dataclass(frozen=True)
class LevelSet:
    """The interactive cap of a model is to keep to another TPOT; `ticket` names who says so."""

    ticket: int
    model: str
    tpot_s: float


@dataclass(frozen=True)
class PrewarmAllowed:
    """Enough time has passed since the start: other models may be loaded in the background."""


@dataclass(frozen=True)
class ShutdownAsked:
    """The host is to end."""


Command = SwapAsked | GrantAsked | TierAsked | StandbysAsked | CancelAsked | Profiled | LevelSet
"""What somebody holds a ticket for."""

Event = (
    Submitted
    | Progressed
    | StreamEnded
    | Cancelled
    | SwapAsked
    | SwitchAsked
    | GrantAsked
    | CancelAsked
    | TierAsked
    | StepDone
    | DrainExpired
    | HandBackDue
    | EngineLost
    | RetryDue
    | Moved
    | Measured
    | StandbysAsked
    | WeightsSeen
    | Profiled
    | LevelSet
    | PrewarmAllowed
    | ShutdownAsked
)

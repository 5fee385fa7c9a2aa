"""The events an engine host decides on, and the effects it decides for. Data only."""

from dataclasses import dataclass, field

from serving.engine.protocol import DeviceMemory, SleepLevel, Steering
from serving.wire import (
    BatchSizeProfile,
    Failed,
    Finished,
    Grant,
    HandedBack,
    IdleTier,
    RequestClass,
    SwapCommand,
    SwapReport,
    SwitchCommand,
    Tier,
    TierReport,
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
    """A running generation got `tokens` new tokens."""

    key: str
    tokens: int


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
class PrewarmAllowed:
    """Enough time has passed since the start: other models may be loaded in the background."""


@dataclass(frozen=True)
class ShutdownAsked:
    """The host is to end."""


Command = SwapAsked | GrantAsked | TierAsked | StandbysAsked | CancelAsked | Profiled
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
    | PrewarmAllowed
    | ShutdownAsked
)


@dataclass(frozen=True)
class Admit:
    """Give the generation a slot: start it on the awake engine."""

    key: str
    queue_s: float


@dataclass(frozen=True)
class Hold:
    """Evict the generation in place: its tokens stop for now."""

    key: str


@dataclass(frozen=True)
class Release:
    """The held generation goes on."""

    key: str


@dataclass(frozen=True)
class Steer:
    """Tell the engine of `model` what its scheduler is held to from now on."""

    model: str
    steering: Steering


@dataclass(frozen=True)
class Halt:
    """Take the running generation off the engine; StreamEnded follows."""

    key: str


@dataclass(frozen=True)
class Close:
    """End the generation's stream with this frame; None: its client is gone."""

    key: str
    frame: Terminal | None


@dataclass(frozen=True)
class Evicted:
    """A running generation was handed back (for the record)."""

    key: str
    reason: str


@dataclass(frozen=True)
class Sleep:
    """Transaction step: put an engine to sleep."""

    step: int
    model: str
    level: SleepLevel
    at_most_bytes: int | None = field(default=None, compare=False)
    """It has failed if the engine holds more then; None: nothing is known of it."""


@dataclass(frozen=True)
class Fetch:
    """Transaction step: have a model's weights on disk."""

    step: int
    model: str


@dataclass(frozen=True)
class Wake:
    """Transaction step: wake an engine, starting it first if it has no process."""

    step: int
    model: str


@dataclass(frozen=True)
class Check:
    """Transaction step: one canary token, compared with the one at first load, and its memory."""

    step: int
    model: str
    at_most_bytes: int | None = field(default=None, compare=False)
    """It has failed if the engine holds more; None: nothing is known of it."""


@dataclass(frozen=True)
class Stop:
    """Transaction step: end an engine's processes."""

    step: int
    model: str


@dataclass(frozen=True)
class Move:
    """In the background, bring a model that is not awake to `tier`; Moved follows."""

    model: str
    tier: IdleTier
    at_most_bytes: int | None = field(default=None, compare=False)
    """It has failed if the engine holds more then; None: nothing is known of it."""


@dataclass(frozen=True)
class DrainTimer:
    """DrainExpired(step) is due in `after_s`."""

    step: int
    after_s: float


@dataclass(frozen=True)
class HandBackTimer:
    """HandBackDue(step) is due in `after_s`."""

    step: int
    after_s: float


@dataclass(frozen=True)
class RetryTimer:
    """RetryDue is due in `after_s`."""

    after_s: float


@dataclass(frozen=True)
class RememberPlan:
    """Make the fence survive a restart: the last plan obeyed, and the grant."""


@dataclass(frozen=True)
class RememberProfile:
    """Make a model's profile survive a restart."""

    profile: BatchSizeProfile


@dataclass(frozen=True)
class Answer:
    """The answer to who holds the ticket: done, with a report where there is one, or refused."""

    ticket: int
    report: SwapReport | TierReport | None
    refusal: str | None = None


@dataclass(frozen=True)
class SwapEnded:
    """A hotswap was carried out (for the record)."""

    command: SwapCommand | SwitchCommand
    report: SwapReport


@dataclass(frozen=True)
class ShutDown:
    """No generation is left: stop the engines and end."""


Effect = (
    Admit
    | Hold
    | Release
    | Steer
    | Halt
    | Close
    | Evicted
    | Fetch
    | Sleep
    | Wake
    | Check
    | Stop
    | Move
    | DrainTimer
    | HandBackTimer
    | RetryTimer
    | RememberPlan
    | RememberProfile
    | Answer
    | SwapEnded
    | ShutDown
)

"""The effects an engine host decides for: what its owner is to do. Data only."""

from dataclasses import dataclass, field

from serving.engine.decisions.events import Terminal
from serving.engine.protocol import SleepLevel, Steering
from serving.wire import (
    BatchSizeProfile,
    IdleTier,
    SwapCommand,
    SwapReport,
    SwitchCommand,
    TierReport,
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

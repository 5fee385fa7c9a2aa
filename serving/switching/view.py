"""What the switching rule sees, and what it answers. Data only.

Times are seconds before the moment of the question, never clock readings: whoever asks owns the
clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SharedHost:
    """One engine host that answers; a dedicated one too, it counts as a replica.

    A host that failed, starts or does not answer is left out.
    """

    name: str
    grant: tuple[str, ...]
    """Models it may have awake."""
    awake: str | None
    """The model it serves; None while it serves none."""
    coming: str | None = None
    """The model it is being swapped to, or was just told to switch to."""
    awake_for_s: float = 0.0
    """How long it has served `awake`."""
    unused_for_s: float = 0.0
    """How long nothing has run on it; 0 while something runs."""
    interactive: int = 0
    """Interactive requests on it, running or waiting there."""
    batch: int = 0
    """Batch requests on it, held ones too."""
    unanswered: int = 0
    """Of `interactive`, those without a first token."""
    resume_s: float = 0.0
    """How long an engine would compute again what the interactive requests here have computed."""
    wake_s: Mapping[str, float] | None = None
    """Seconds until each model of the grant would serve here; the awake one, as if it slept."""

    @property
    def assigned(self) -> str | None:
        """The model it serves, or is on the way to serve."""
        return self.awake if self.coming is None else self.coming


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits for one model."""

    model: str
    interactive: int = 0
    """Requests that no host has taken."""
    batch: int = 0
    interactive_wait_s: float = 0.0
    """How long the first of them has waited this time: since it came, or was handed back."""
    batch_wait_s: float = 0.0
    batch_queued: int = 0
    """Batch requests that hosts have taken and have no slot for."""
    prompt_work_s: float = 0.0
    """How long one engine would compute the prompts of all interactive requests that have no first
    token, waiting here or on a host; 0: not known."""
    ttft_s: float = 2.0
    """The model's service level."""
    max_replicas: int | None = None


@dataclass(frozen=True, slots=True)
class Switch:
    """Make `to_model` the awake model of `host`, if `from_model` still is."""

    host: str
    from_model: str
    to_model: str
    waited_s: float
    """How long the first request for `to_model` has waited."""
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The switches to make now, and when to ask again if nothing happens before."""

    switches: tuple[Switch, ...] = ()
    ask_again_s: float | None = None
    """None: only when a request comes or ends, or a host changes."""

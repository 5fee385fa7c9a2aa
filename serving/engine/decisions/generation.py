"""One generation on a host: what the decisions know of it, and what follows from that alone.

Who gets a slot is decided in `admission`, who gives it up in `holding`.
"""

from dataclasses import dataclass

from serving.engine.decisions.events import Submitted, Terminal
from serving.wire import RequestClass


@dataclass
class Generation:
    """One generation, from its arrival to its last frame."""

    key: str
    request_class: RequestClass
    evictable: bool
    tokens: int
    """Prompt and output so far: what a resume elsewhere must compute again."""
    arrived_at: float
    account: str = ""
    weight: float = 1.0
    remaining_tokens: int = 0
    """At most so many are still to come."""
    resumed: bool = False
    """It came with tokens that it got elsewhere, or here before."""
    deadline_at: float | None = None
    evictions: int = 0
    """How often it gave up its place, here and before it came here."""
    admitted_at: float | None = None
    output_tokens: int = 0
    """Generated here."""
    last_token_at: float | None = None
    computing_then: int = 0
    """How many generations computed when it got its last token."""
    held_at: float | None = None
    held_s: float = 0.0
    """How long it was held before, in all."""
    ending: Terminal | None = None
    """Set once it is being halted: the frame that will end its stream."""
    unwanted: bool = False
    """Its client is gone."""

    @property
    def halting(self) -> bool:
        """It is still on the engine, but on its way out."""
        return self.ending is not None or self.unwanted

    @property
    def in_prefill(self) -> bool:
        """It has no token from this engine yet."""
        return self.output_tokens == 0

    def got(self, tokens: int, now: float) -> None:
        """Count new tokens."""
        self.tokens += tokens
        self.output_tokens += tokens
        self.remaining_tokens = max(0, self.remaining_tokens - tokens)
        self.last_token_at = now

    def hold(self, now: float) -> None:
        """It gives up its place."""
        self.held_at = now
        self.evictions += 1

    def release(self, now: float) -> None:
        """It has a place again."""
        if self.held_at is not None:
            self.held_s += now - self.held_at
        # The gap in its tokens was the host's doing, not the engine's.
        self.held_at, self.last_token_at = None, None

    def passed_over_s(self, now: float) -> float:
        """How long it has had no place while others had one: waiting, then held."""
        if self.admitted_at is None:
            return now - self.arrived_at
        return self.held_s + (0.0 if self.held_at is None else now - self.held_at)

    def remaining_s(self, now: float) -> float:
        """What its remaining tokens take at the rate it has had; zero until it has one."""
        if self.admitted_at is None or not self.output_tokens:
            return 0.0
        computed_s = max(0.0, now - self.admitted_at - self.passed_over_s(now))
        return self.remaining_tokens * computed_s / self.output_tokens

    def time_left_s(self, now: float) -> float:
        """Until its deadline; endless without one."""
        return float("inf") if self.deadline_at is None else self.deadline_at - now


def arrived(event: Submitted, now: float) -> Generation:
    """The generation that has just been submitted."""
    return Generation(
        event.key,
        event.request_class,
        event.evictable,
        event.tokens,
        now,
        account=event.account,
        weight=event.weight,
        remaining_tokens=event.remaining_tokens,
        resumed=event.resumed,
        deadline_at=None if event.deadline_s is None else now + event.deadline_s,
        evictions=event.evictions,
    )

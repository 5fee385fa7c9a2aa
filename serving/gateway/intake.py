"""Taking one attempt's frames in: into the generation's record and on to its sink.

No sockets, and no choice of what comes after the attempt.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Literal, NamedTuple, Protocol

from serving.gateway.failures import ReplayDiverged, cannot_continue, host_refused
from serving.gateway.generation import Generation
from serving.gateway.merging import merged
from serving.gateway.moving import worth_moving
from serving.gateway.resume import boundary_parameters, terminal_token_ids
from serving.wire import (
    Admitted,
    Failed,
    Finished,
    Frame,
    HandedBack,
    Held,
    Released,
    Tokens,
)

SILENCE_S = 600.0
"""After so long without a token it goes elsewhere: longer than the longest prompt takes. Hosts find
engines that hang, much sooner; this is for one that answers its host and yet does not get on."""
HELD_SILENCE_S = 24 * 3600.0
"""While it is held, silence is as it should be; the watch of its host notices a death."""
BATCH_SLOT_WAIT_S = 3600.0
"""So long a batch request waits for a slot on one host: what waits behind others is its nature."""

TAIL_S = 1.0
"""How long the end of a complete stream may take; read, its connection can be used again."""


class Taken(NamedTuple):
    """What became of tokens that a sink was given."""

    enough: bool = False
    """Nothing more is wanted."""
    surplus_tokens: int = 0
    """The last so many came after the one that ended the text, and are none of the answer."""


class TokenSink(Protocol):
    """Receives a generation's tokens."""

    def deliver(self, tokens: Tokens, finished: Finished | None) -> Taken:
        """Take new tokens and maybe the end."""

    def start_over(self) -> None:
        """Forget everything delivered."""


class Progress(Protocol):
    """Is told how an attempt gets on."""

    def slot(self) -> None:
        """It has a slot, for the first time or again."""

    def held(self) -> None:
        """It lost its slot, and may get it again."""

    def prefilled(self, tokens: int, seconds: float) -> None:
        """From its first slot to its first token it took `seconds` to compute `tokens`."""

    def tokens(self, fresh: Tokens) -> None:
        """Tokens came that were not there before; they are in the generation's record."""


@dataclass(frozen=True)
class AttemptEnd:
    """How an attempt ended."""

    kind: Literal["complete", "enough", "handed_back", "moved", "failed"]
    """`complete`: the engine ended it. `enough`: its sink did, the engine would go on. `moved`: it
    was held, and has a slot elsewhere."""
    why: str = ""


class Intake:
    """Takes the frames of one attempt in, portion by portion."""

    def __init__(
        self, generation: Generation, sink: TokenSink, progress: Progress, *, slot_wait_s: float
    ) -> None:
        """`slot_wait_s`: how long an interactive one may be queued on the host."""
        self._generation, self._sink, self._progress = generation, sink, progress
        is_batch = generation.request_class == "batch"
        self.slot_wait_s = BATCH_SLOT_WAIT_S if is_batch else slot_wait_s
        self._slot_by = time.monotonic() + self.slot_wait_s
        self._ends = terminal_token_ids(generation.sampling)
        self._undecided: Tokens | None = None
        self._place: Literal["queue", "slot", "held"] = "queue"
        self._slot_since: float | None = None
        """Until its first tokens came."""
        self.end: AttemptEnd | None = None
        """How the attempt ended, once it has."""

    @property
    def may_move(self) -> bool:
        """Whether the generation is held now, and may and should go on elsewhere."""
        generation = self._generation
        return (
            self._place == "held"
            and generation.movable
            and worth_moving(kept_tokens=generation.kept_tokens, left_tokens=generation.left_tokens)
        )

    @property
    def is_queued(self) -> bool:
        """Whether the host has had no slot for it."""
        return self._place == "queue"

    @property
    def silence_s(self) -> float:
        """How long to wait for the next portion."""
        if self.end is not None:
            return TAIL_S
        match self._place:
            case "queue":
                return max(0.0, self._slot_by - time.monotonic())
            case "slot":
                return SILENCE_S
            case "held":
                return HELD_SILENCE_S

    def take(self, frames: Iterable[Frame]) -> None:
        """Handle a portion. Raises GenerationFailed if no attempt can complete the generation.

        Tokens that may be the last wait for the next frame: text is made of the last token
        in one way if it ends the generation and in another if it does not.
        """
        for frame in merged(self._with_undecided(frames)):
            match frame:
                case (Tokens() as tokens, Finished() | None as finished):
                    self._take_tokens(tokens, finished)
                case Admitted():
                    self._have_slot()
                case Held():
                    self._hold()
                case Released():
                    self._release()
                case HandedBack(reason):
                    if reason == "evicted":
                        self._generation.evicted()
                    self.end = AttemptEnd("handed_back", reason)
                case Failed(message, retryable):
                    if not retryable:
                        raise host_refused(self._generation.model, message)
                    self.end = AttemptEnd("failed", message)

    def _with_undecided(self, frames: Iterable[Frame]) -> Iterable[Frame]:
        if self._undecided is None:
            return frames
        undecided, self._undecided = self._undecided, None
        return chain((undecided,), frames)

    def _have_slot(self) -> None:
        if self._place == "queue":
            self._place, self._slot_since = "slot", time.monotonic()
            self._generation.admitted()
            self._progress.slot()

    def _hold(self) -> None:
        if self._place != "held":
            self._place = "held"
            self._slot_since = None  # how long the prefill took is not known any more
            self._generation.hold()
            self._progress.held()

    def _release(self) -> None:
        if self._place == "held":
            self._place = "slot"
            self._generation.release()
            self._progress.slot()

    def _take_tokens(self, tokens: Tokens, finished: Finished | None) -> None:
        self._have_slot()
        self._time_prefill(tokens.cached_tokens)
        if finished is None and self._ended_by(tokens):
            self._undecided = tokens
            return
        try:
            fresh = self._generation.accept(tokens)
        except ReplayDiverged as error:
            names = boundary_parameters(self._generation.sampling)
            raise cannot_continue(self._generation.model, names) from error
        if fresh.token_ids:
            self._progress.tokens(fresh)
        taken = self._deliver(fresh, finished)
        self._generation.drop_surplus(taken.surplus_tokens)
        if finished is not None or taken.enough:
            self.end = AttemptEnd("complete" if finished is not None else "enough")
            self._generation.finished = True

    def _time_prefill(self, cached_tokens: int | None) -> None:
        if self._slot_since is not None and cached_tokens is not None:
            computed = self._generation.prefilled_tokens - cached_tokens
            self._progress.prefilled(computed, time.monotonic() - self._slot_since)
        self._slot_since = None

    def _deliver(self, fresh: Tokens, finished: Finished | None) -> Taken:
        if not fresh.token_ids and finished is None and fresh.prompt_logprobs is None:
            return Taken()
        if finished is not None and finished.reason == "stop" and not self._ended_by(fresh):
            # No token may be taken for the terminal one and left out of the text.
            self._sink.deliver(fresh, None)
            fresh = Tokens([])
        return self._sink.deliver(fresh, finished)

    def _ended_by(self, tokens: Tokens) -> bool:
        return bool(tokens.token_ids) and tokens.token_ids[-1] in self._ends

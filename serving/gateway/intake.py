"""Taking one attempt's frames in: into the generation's record and on to its sink.

No sockets, and no choice of what comes after the attempt.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from serving.gateway.failures import ReplayDiverged, cannot_continue, host_refused
from serving.gateway.generation import Generation
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

SILENCE_S = 180.0
"""A host that gave a slot and then says nothing for this long is hung."""
QUEUED_SILENCE_S = 24 * 3600.0
"""Before a slot, silence is the queue: the long poll of the host's state notices its death."""

TAIL_S = 1.0
"""How long the end of a complete stream may take; read, its connection can be used again."""

Batch = tuple[Tokens, Finished | None]


class TokenSink(Protocol):
    """Receives a generation's tokens."""

    def deliver(self, tokens: Tokens, finished: Finished | None) -> bool:
        """Take new tokens and maybe the end; True if nothing more is wanted."""

    def start_over(self) -> None:
        """Forget everything delivered."""


@dataclass(frozen=True)
class AttemptEnd:
    """How an attempt ended."""

    kind: Literal["complete", "enough", "handed_back", "failed"]
    """`complete`: the engine ended it. `enough`: its sink did, the engine would go on."""
    why: str = ""


class Intake:
    """Takes the frames of one attempt in, portion by portion."""

    def __init__(
        self,
        generation: Generation,
        sink: TokenSink,
        *,
        on_slot: Callable[[], None],
        on_token: Callable[[], None],
    ) -> None:
        self._generation, self._sink = generation, sink
        self._on_slot, self._on_token = on_slot, on_token
        self._ends = terminal_token_ids(generation.sampling)
        self._held: Tokens | None = None
        self._has_slot = False
        self.end: AttemptEnd | None = None
        """How the attempt ended, once it has."""

    @property
    def silence_s(self) -> float:
        """How long to wait for the next portion."""
        if self.end is not None:
            return TAIL_S
        return SILENCE_S if self._has_slot else QUEUED_SILENCE_S

    def take(self, frames: Iterable[Frame]) -> None:
        """Handle a portion. Raises GenerationFailed if no attempt can complete the generation.

        Tokens that may be the last are held until the next frame: text is made of the last token
        in one way if it ends the generation and in another if it does not.
        """
        for frame in _merged(self._with_held(frames)):
            match frame:
                case Admitted():
                    self._have_slot()
                case (Tokens() as tokens, Finished() | None as finished):
                    self._take_tokens(tokens, finished)
                case HandedBack(reason):
                    self.end = AttemptEnd("handed_back", reason)
                case Failed(message, retryable):
                    if not retryable:
                        raise host_refused(self._generation.model, message)
                    self.end = AttemptEnd("failed", message)

    def _with_held(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        if self._held is not None:
            held, self._held = self._held, None
            yield held
        yield from frames

    def _have_slot(self) -> None:
        if not self._has_slot:
            self._has_slot = True
            self._generation.admitted()
            self._on_slot()

    def _take_tokens(self, tokens: Tokens, finished: Finished | None) -> None:
        self._have_slot()
        if finished is None and self._ended_by(tokens):
            self._held = tokens
            return
        try:
            fresh = self._generation.accept(tokens)
        except ReplayDiverged as error:
            names = boundary_parameters(self._generation.sampling)
            raise cannot_continue(self._generation.model, names) from error
        if fresh.token_ids:
            self._on_token()
        enough = self._deliver(fresh, finished)
        if finished is not None or enough:
            self.end = AttemptEnd("complete" if finished is not None else "enough")
            self._generation.finished = True

    def _deliver(self, fresh: Tokens, finished: Finished | None) -> bool:
        if not fresh.token_ids and finished is None and fresh.prompt_logprobs is None:
            return False
        if finished is not None and finished.reason == "stop" and not self._ended_by(fresh):
            # No token may be taken for the terminal one and left out of the text.
            self._sink.deliver(fresh, None)
            fresh = Tokens([])
        return self._sink.deliver(fresh, finished)

    def _ended_by(self, tokens: Tokens) -> bool:
        return bool(tokens.token_ids) and tokens.token_ids[-1] in self._ends


def _merged(
    frames: Iterable[Frame],
) -> Iterator[Admitted | Held | Released | HandedBack | Failed | Batch]:
    """Neighbouring tokens as one, with the end that follows them."""
    tokens: Tokens | None = None
    for frame in frames:
        match frame:
            case Tokens():
                tokens = frame if tokens is None else _joined(tokens, frame)
            case Finished():
                yield (tokens or Tokens([]), frame)
                return
            case _:
                if tokens is not None:
                    yield (tokens, None)
                    tokens = None
                yield frame
    if tokens is not None:
        yield (tokens, None)


def _joined(first: Tokens, second: Tokens) -> Tokens:
    logprobs = None
    if first.logprobs is not None and second.logprobs is not None:
        logprobs = first.logprobs + second.logprobs
    return Tokens(
        token_ids=first.token_ids + second.token_ids,
        logprobs=logprobs,
        prompt_logprobs=first.prompt_logprobs or second.prompt_logprobs,
        cached_tokens=first.cached_tokens
        if first.cached_tokens is not None
        else second.cached_tokens,
    )

"""Frames of a portion put together: what came at once is text at once.

Pure. What a frame means to its generation is `serving.gateway.intake`.
"""

from collections.abc import Iterable, Iterator, Sequence

from serving.wire import (
    Admitted,
    Failed,
    Finished,
    Frame,
    HandedBack,
    Held,
    Released,
    TokenLogprobs,
    Tokens,
)

TokensAndEnd = tuple[Tokens, Finished | None]


def merged(
    frames: Iterable[Frame],
) -> Iterator[Admitted | Held | Released | HandedBack | Failed | TokensAndEnd]:
    """Neighbouring tokens as one, with the end that follows them.

    A change of place does not part tokens, and is said before them.
    """
    tokens: Tokens | None = None
    for frame in frames:
        match frame:
            case Tokens():
                tokens = frame if tokens is None else joined([tokens, frame])
            case Finished():
                yield (tokens or Tokens([]), frame)
                return
            case Held() | Released():
                yield frame
            case _:
                if tokens is not None:
                    yield (tokens, None)
                    tokens = None
                yield frame
    if tokens is not None:
        yield (tokens, None)


def joined(portions: Sequence[Tokens]) -> Tokens:
    """Tokens that followed each other as one."""
    logprobs: list[TokenLogprobs] = []
    for portion in portions:
        logprobs += portion.logprobs or []
    complete = all(portion.logprobs is not None for portion in portions)
    return Tokens(
        token_ids=[token for portion in portions for token in portion.token_ids],
        logprobs=logprobs if complete else None,
        prompt_logprobs=next((p.prompt_logprobs for p in portions if p.prompt_logprobs), None),
        cached_tokens=next(
            (p.cached_tokens for p in portions if p.cached_tokens is not None), None
        ),
    )

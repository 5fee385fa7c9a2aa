"""Frames of a portion put together: what came at once is text at once.

Pure. What a frame means to its generation is `serving.gateway.intake`.
"""

from collections.abc import Iterable, Iterator

from serving.wire import Admitted, Failed, Finished, Frame, HandedBack, Held, Released, Tokens

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
                tokens = frame if tokens is None else _joined(tokens, frame)
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

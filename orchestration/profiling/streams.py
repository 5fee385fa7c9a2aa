"""Generations run for measuring, timed token by token."""

import random
import time
from collections.abc import Callable
from contextlib import aclosing

from orchestration.errors import ProfileError
from orchestration.profiling.figures import Timed
from serving.clients.generation import GenerationClient
from serving.wire import (
    Admitted,
    Failed,
    Finished,
    Frame,
    GenerateRequest,
    Released,
    SamplingSpec,
    Tokens,
)

FIRST_ID, LAST_ID = 1000, 20000
"""Prompts are random tokens between these: every tokenizer of use knows them."""


def request_for(
    request_id: str, model: str, prompt_tokens: int, output_tokens: int
) -> GenerateRequest:
    """A greedy generation of full length; its prompt is random and follows from its id.

    It is interactive: those are not limited by the interactive cap, so that every batch size can
    be had, and the batch work of users is kept away meanwhile.
    """
    chosen = random.Random(request_id)  # noqa: S311 - not a secret
    return GenerateRequest(
        request_id=request_id,
        model=model,
        request_class="interactive",
        prompt_token_ids=[chosen.randint(FIRST_ID, LAST_ID) for _ in range(prompt_tokens)],
        sampling=SamplingSpec(max_tokens=output_tokens, temperature=0.0, ignore_eos=True),
    )


async def run_to_end(client: GenerationClient, request: GenerateRequest) -> Timed:
    """One generation, to its end."""
    timed = Timed(time.monotonic())
    await _read(client, request, timed, lambda: None)
    return timed


async def run_until_stopped(
    client: GenerationClient, request: GenerateRequest, timed: Timed, begun: Callable[[], None]
) -> None:
    """One generation that is stopped by cancelling it; `begun` is called at every token."""
    await _read(client, request, timed, begun)
    raise ProfileError(
        f"a generation of {request.sampling.max_tokens} tokens ended before it was measured",
        where=f"model {request.model}",
        fix="Ask for fewer output_tokens or probes, or shorter prompts.",
    )


async def _read(
    client: GenerationClient, request: GenerateRequest, timed: Timed, begun: Callable[[], None]
) -> None:
    last: Frame | None = None
    async with aclosing(client.frames(request)) as frames:
        async for frame in frames:
            last = frame
            match frame:
                case Tokens(token_ids=ids) if ids:
                    timed.arrivals.append((time.monotonic(), len(ids)))
                    begun()
                case Finished():
                    return
                case Tokens() | Admitted() | Released():
                    continue
                case _:
                    break
    raise _broken(request, last)


def _broken(request: GenerateRequest, last: Frame | None) -> ProfileError:
    what = last.message if isinstance(last, Failed) else f"its last frame was {last}"
    return ProfileError(
        f"a generation was not finished: {what}",
        where=f"model {request.model}",
        fix="The host changed its model or is in trouble: see turntable status, then run again.",
    )

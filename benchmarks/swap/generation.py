"""Generating on one engine host directly, and when the first token came."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import msgspec

from benchmarks.setting import BenchmarkUnable
from serving.wire import (
    WIRE_HEADER,
    WIRE_VERSION,
    Finished,
    Frame,
    FrameDecoder,
    GenerateRequest,
    SamplingSpec,
    Tokens,
)

_LIMIT_S = 120.0
_PROMPT = [504, 3575, 282, 4649, 314]
"""The packaged tokenizer's "The capital of France is"; to random weights any tokens do."""


@dataclass(frozen=True)
class Generated:
    """One greedy generation."""

    token_ids: list[int]
    first_token_at: float
    """On the clock of `time.monotonic()`."""


def generate(url: str, token: str, model: str, max_tokens: int) -> Generated:
    """Generate on the host at `url`. Raises BenchmarkUnable if it does not finish there."""
    request = GenerateRequest(
        request_id="bench",
        model=model,
        request_class="interactive",
        prompt_token_ids=_PROMPT,
        sampling=SamplingSpec(max_tokens=max_tokens, temperature=0.0, ignore_eos=True),
    )
    first_at, token_ids, last = float("nan"), list[int](), None
    for frame in _frames(url, token, request):
        if isinstance(frame, Tokens):
            first_at = time.monotonic() if not token_ids else first_at
            token_ids += frame.token_ids
        last = frame
    if not isinstance(last, Finished):
        raise BenchmarkUnable(
            f"a generation on {model} ended with {last}", where=url, fix="Look at the host's log."
        )
    return Generated(token_ids, first_at)


def _frames(url: str, token: str, request: GenerateRequest) -> Iterator[Frame]:
    headers = {"Authorization": f"Bearer {token}", WIRE_HEADER: str(WIRE_VERSION)}
    content = msgspec.msgpack.encode(request)
    decoder = FrameDecoder(peer=url)
    with (
        httpx.Client(timeout=_LIMIT_S, trust_env=False) as client,
        client.stream("POST", f"{url}/generate", content=content, headers=headers) as answer,
    ):
        answer.raise_for_status()
        for data in answer.iter_raw():
            yield from decoder.feed(data)

"""Measuring chat over an OpenAI endpoint: times as the client sees them.

The same requests go to every arm. Every prompt of a load differs from its first word on, so no
prefix cache helps one arm.
"""

import asyncio
import time
from dataclasses import dataclass

import httpx
import msgspec

_LIMIT_S = 300.0


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta


class _Usage(msgspec.Struct):
    completion_tokens: int


class Chunk(msgspec.Struct):
    """What is read of one chunk of a stream."""

    choices: list[_Choice] = []
    usage: _Usage | None = None


@dataclass(frozen=True)
class Answer:
    """One streamed chat answer."""

    asked_at: float
    """On the clock of `time.monotonic()`."""
    ttft_s: float
    total_s: float
    output_tokens: int

    @property
    def first_token_at(self) -> float:
        """On the clock of `time.monotonic()`."""
        return self.asked_at + self.ttft_s

    @property
    def tokens_per_s(self) -> float:
        """Output tokens after the first, over the time after the first."""
        return (self.output_tokens - 1) / (self.total_s - self.ttft_s)


@dataclass(frozen=True)
class Load:
    """The answers of some streams that ran side by side, and how long all took."""

    answers: list[Answer]
    wall_s: float

    @property
    def tokens_per_s(self) -> float:
        """Output tokens of all streams over the whole time."""
        return sum(answer.output_tokens for answer in self.answers) / self.wall_s


def prompt(number: int) -> str:
    """A question that differs from every other number's at its beginning."""
    return (
        f"{number} is my lucky number today. Tell me a long story about a lighthouse keeper who "
        "counts the ships that pass, and say what each of them carries."
    )


def chat_body(model: str, text: str, max_tokens: int) -> dict[str, object]:
    """A streaming chat request for exactly this many greedy tokens."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "ignore_eos": True,  # vLLM's extension: every answer has the same length
    }


async def stream_chat(
    client: httpx.AsyncClient, url: str, model: str, text: str, max_tokens: int
) -> Answer:
    """Ask, read the stream to its end. Raises httpx.HTTPError on any failure."""
    body = chat_body(model, text, max_tokens)
    began = time.monotonic()
    first: float | None = None
    tokens = 0
    async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
        if response.is_error:
            await response.aread()
            response.raise_for_status()
        async for line in response.aiter_lines():
            data = line.removeprefix("data: ")
            if data == line or data == "[DONE]":
                continue
            chunk = msgspec.json.decode(data, type=Chunk)
            if first is None and any(choice.delta.content for choice in chunk.choices):
                first = time.monotonic()
            if chunk.usage is not None:
                tokens = chunk.usage.completion_tokens
    if first is None:
        raise httpx.RemoteProtocolError("the stream ended without a token")
    return Answer(began, first - began, time.monotonic() - began, tokens)


def bearer(key: str | None) -> dict[str, str]:
    """The headers of a request with this API key."""
    return {} if key is None else {"authorization": f"Bearer {key}"}


def ask(url: str, model: str, text: str, max_tokens: int, *, key: str | None = None) -> Answer:
    """One answer."""
    return run_load(url, model, [text], max_tokens=max_tokens, key=key).answers[0]


def run_load(
    url: str, model: str, texts: list[str], *, max_tokens: int, key: str | None = None
) -> Load:
    """All `texts` at once, each a stream of its own."""

    async def all_at_once() -> Load:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            timeout=_LIMIT_S, limits=limits, trust_env=False, headers=bearer(key)
        ) as client:
            began = time.monotonic()
            answers = await asyncio.gather(
                *(stream_chat(client, url, model, text, max_tokens) for text in texts)
            )
            return Load(list(answers), time.monotonic() - began)

    return asyncio.run(all_at_once())

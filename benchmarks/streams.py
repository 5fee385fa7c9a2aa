"""One streamed answer, with the time of every token as its client sees it."""

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
import msgspec

from benchmarks.chat import Chunk, bearer, chat_body
from benchmarks.setting import BenchmarkUnable


@dataclass(frozen=True)
class Question:
    """What one request asks for: exactly so many greedy tokens."""

    text: str
    max_tokens: int


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI endpoint, and how a request says there that it is batch work."""

    url: str
    model: str
    batch_fields: dict[str, object]
    key: str | None = None
    """What it takes for an API key, if it asks for one."""

    def body(self, question: Question, *, batch: bool, salt: str) -> dict[str, object]:
        """The request. Prefixes are shared only within one `salt`: no arm warms another's cache."""
        body = chat_body(self.model, question.text, question.max_tokens)
        body["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
        return body | {"cache_salt": salt} | (self.batch_fields if batch else {})


def stream_client(limit_s: float, key: str | None) -> httpx.AsyncClient:
    """A client for any number of streams at once, each with a connection of its own.

    A kept connection that the server closes just when it is taken again would look like a request
    that was lost.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(timeout=limit_s, limits=limits, trust_env=False, headers=bearer(key))


@dataclass
class Stream:
    """What came of one request. Times are on the clock of `time.monotonic()`."""

    request_id: str
    question: Question
    asked_at: float = float("nan")
    times: list[float] = field(default_factory=list)
    """When chunks with new tokens came."""
    counts: list[int] = field(default_factory=list)
    """Tokens so far, at each of these times."""
    text: str = ""
    ended_at: float | None = None
    """When the whole answer was there; None if the client left before, or it broke."""
    error: str | None = None

    async def read(self, client: httpx.AsyncClient, url: str, body: dict[str, object]) -> None:
        """Ask and read to the end; whatever goes wrong is what the client saw."""
        self.asked_at = time.monotonic()
        headers = {"x-request-id": self.request_id}
        try:
            async with client.stream(
                "POST", f"{url}/v1/chat/completions", json=body, headers=headers
            ) as answer:
                if answer.is_error:
                    self.error = f"{answer.status_code}: {(await answer.aread())[:300]!r}"
                    return
                await self._take(answer)
        except (httpx.HTTPError, msgspec.MsgspecError) as error:
            self.error = str(error) or type(error).__name__

    async def _take(self, answer: httpx.Response) -> None:
        async for line in answer.aiter_lines():
            data = line.removeprefix("data: ")
            if data == line or data == "[DONE]":
                continue
            chunk = msgspec.json.decode(data, type=Chunk)
            self.text += "".join(choice.delta.content or "" for choice in chunk.choices)
            tokens = chunk.usage.completion_tokens if chunk.usage else 0
            if tokens > self.tokens:
                self.times.append(time.monotonic())
                self.counts.append(tokens)
        if self.tokens != self.question.max_tokens:
            self.error = f"it ended after {self.tokens} of {self.question.max_tokens} tokens"
            return
        self.ended_at = time.monotonic()

    @property
    def tokens(self) -> int:
        """Tokens so far."""
        return self.counts[-1] if self.counts else 0

    @property
    def ttft_s(self) -> float:
        """Time to the first token."""
        return self.times[0] - self.asked_at

    @property
    def tpot_s(self) -> float:
        """Time per token after the first."""
        return (self.times[-1] - self.times[0]) / (self.counts[-1] - self.counts[0])

    def gaps_s(self) -> list[float]:
        """Times between chunks with tokens."""
        return [after - before for before, after in itertools.pairwise(self.times)]

    def tokens_between(self, began: float, ended: float) -> int:
        """Tokens that came in this span."""
        before = sum(at < began for at in self.times)
        until = sum(at < ended for at in self.times)
        at = [0, *self.counts]
        return at[until] - at[before]


def require_served(streams: Sequence[Stream], where: str) -> None:
    """Raise BenchmarkUnable unless every one of them came whole."""
    for stream in streams:
        if stream.error is not None or stream.ended_at is None:
            raise BenchmarkUnable(
                f"{stream.request_id} was not served: {stream.error}",
                where=where,
                fix="Look at the servers' logs.",
            )

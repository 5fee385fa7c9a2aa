"""A swap under load: what clients notice when their generations have to move to another host."""

import asyncio
import itertools
import time

import httpx
import msgspec

from benchmarks.chat import Chunk, chat_body, prompt
from benchmarks.setting import BenchmarkUnable
from benchmarks.streams import stream_client
from benchmarks.swap.instance import Instance
from benchmarks.swap.samples import LoadSamples

STREAMS = 16
_TOKENS = 320
_LIMIT_S = 180.0
_RUNNING_TOKENS = 4
"""A stream with so many tokens runs."""


class _Stream:
    """One streamed answer through the gateway: when each of its tokens came."""

    def __init__(self) -> None:
        self.token_times: list[float] = []
        self.error: str | None = None

    async def read(self, client: httpx.AsyncClient, url: str, body: dict[str, object]) -> None:
        """Read to the end; whatever goes wrong is what the client saw."""
        try:
            async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as answer:
                answer.raise_for_status()
                await self._take(answer)
        except httpx.HTTPError as error:
            self.error = str(error) or type(error).__name__

    async def _take(self, answer: httpx.Response) -> None:
        tokens = None
        async for line in answer.aiter_lines():
            data = line.removeprefix("data: ")
            if data == line or data == "[DONE]":
                continue
            chunk = msgspec.json.decode(data, type=Chunk)
            if any(choice.delta.content for choice in chunk.choices):
                self.token_times.append(time.monotonic())
            if chunk.usage is not None:
                tokens = chunk.usage.completion_tokens
        if tokens != _TOKENS:
            self.error = f"it ended after {tokens} of {_TOKENS} tokens"

    def longest_gap_s(self) -> float:
        """The longest time between two tokens."""
        times = self.token_times
        pairs = itertools.pairwise(times)
        return max((after - before for before, after in pairs), default=float("nan"))


def swap_under_load(instance: Instance, found: LoadSamples) -> None:
    """Fill the roomy host, make a second replica on the tight one, swap the first one away."""
    asyncio.run(_swap_under_load(instance, found))


async def _swap_under_load(instance: Instance, found: LoadSamples) -> None:
    model, exact = instance.fleets.first.name, instance.fleets.exact.name
    await asyncio.to_thread(_only_on_the_roomy_host, instance)
    streams = [_Stream() for _ in range(STREAMS)]
    async with stream_client(_LIMIT_S, instance.gateway_key) as client:
        reading = [
            asyncio.create_task(
                stream.read(client, instance.gateway_url, chat_body(model, prompt(n), _TOKENS))
            )
            for n, stream in enumerate(streams)
        ]
        await _until_running(streams)
        await asyncio.to_thread(instance.tight.command, model)
        await asyncio.to_thread(instance.wait_for_replicas, model, 2)
        # As the control plane does where another replica of the old model stays.
        report = await asyncio.to_thread(instance.roomy.command, exact, "stagger")
        await asyncio.gather(*reading)
    found.streams, found.handed_back = STREAMS, report.handed_back
    found.failed = sum(stream.error is not None for stream in streams)
    found.longest_gaps_s = [stream.longest_gap_s() for stream in streams]
    for problem in sorted({stream.error for stream in streams if stream.error}):
        instance.say(f"a stream failed: {problem}")


def _only_on_the_roomy_host(instance: Instance) -> None:
    model = instance.fleets.first.name
    instance.tight.command(instance.fleets.twins[1])
    instance.roomy.command(model)
    instance.wait_for_replicas(model, 1)


async def _until_running(streams: list[_Stream]) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while not all(len(s.token_times) >= _RUNNING_TOKENS or s.error for s in streams):
        if time.monotonic() > deadline:
            raise BenchmarkUnable(
                f"{STREAMS} streams did not all run within {_LIMIT_S:.0f} s",
                where="the gateway",
                fix="Run it on an idle machine.",
            )
        await asyncio.sleep(0.05)

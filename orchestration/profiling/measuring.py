"""Measuring one model on the engine of one host, from one generation to a full batch.

A batch size is held by generations that go on until they are stopped; the last one to come is
timed from its request to its end. Work of others on the engine is looked for all the while: what
was measured beside it is thrown away and measured again, a bounded number of times.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestration.errors import Disturbed, ProfileError
from orchestration.profiling.figures import (
    Round,
    SizeFigures,
    Timed,
    batch_sizes,
    figures_of,
    round_of,
)
from orchestration.profiling.lookout import Lookout
from orchestration.profiling.streams import request_for, run_to_end, run_until_stopped
from serving.clients.generation import GenerationClient
from serving.clients.host import HostClient
from serving.wire import GenerateRequest

WARM_UP_TOKENS = 8


@dataclass(frozen=True)
class Target:
    """Whose engine is measured."""

    host: str
    address: str
    port: int
    token: str
    model: str
    slots: int
    max_model_len: int


@dataclass(frozen=True)
class Measurement:
    """How it is measured."""

    name: str
    """Begins the ids of all requests; different every time, or prompts are found in the cache."""
    prompt_tokens: int
    output_tokens: int
    rounds: int
    probes: int
    """Times to first token taken in a round."""
    disturbed_rounds: int
    """How many may be thrown away at one batch size."""
    quiet_s: float
    """How long to wait for the engine to be without interactive work of others."""
    round_s: float


async def measure(
    target: Target, measurement: Measurement, say: Callable[[str], object]
) -> list[SizeFigures]:
    """The figures of every batch size. Raises ProfileError, HostError or WireError."""
    longest = measurement.prompt_tokens + measurement.output_tokens + measurement.probes
    if longest > target.max_model_len:
        raise ProfileError(
            f"prompt, output and probes are {longest} tokens together",
            where=f"model {target.model} (context {target.max_model_len})",
            fix="Ask for shorter prompts or less output.",
        )
    place = (target.address, target.port, target.token)
    with HostClient(*place) as host:
        async with GenerationClient(*place) as client:
            lookout = Lookout(host, target.model)
            bench = _Bench(target, measurement, client, lookout)
            await lookout.quiet(measurement.quiet_s)
            await run_to_end(client, bench.request("warm-up", WARM_UP_TOKENS))
            figures = []
            for size in batch_sizes(target.slots):
                figures.append(await bench.size(size))
                say(_line(figures[-1]))
            return figures


class _Bench:
    """One measurement under way."""

    def __init__(
        self,
        target: Target,
        measurement: Measurement,
        client: GenerationClient,
        lookout: Lookout,
    ) -> None:
        self._target, self._measurement = target, measurement
        self._client, self._lookout = client, lookout

    def request(self, name: str, output_tokens: int) -> GenerateRequest:
        """A request of this measurement."""
        wanted = self._measurement
        return request_for(
            f"{wanted.name}.{name}", self._target.model, wanted.prompt_tokens, output_tokens
        )

    async def size(self, size: int) -> SizeFigures:
        """One batch size, as often as was asked for and needed."""
        rounds: list[Round] = []
        reasons: list[str] = []
        while len(rounds) < self._measurement.rounds:
            await self._lookout.quiet(self._measurement.quiet_s)
            try:
                rounds.append(await self._round(size, f"{size}.{len(rounds)}.{len(reasons)}"))
            except Disturbed as disturbed:
                reasons.append(disturbed.what)
                self._bear(size, reasons)
        return figures_of(size, rounds, len(reasons))

    def _bear(self, size: int, seen: Sequence[str]) -> None:
        """Fail when a batch size was disturbed too often."""
        if len(seen) > self._measurement.disturbed_rounds:
            raise ProfileError(
                f"batch size {size} was disturbed {len(seen)} times, last by {seen[-1]}",
                where=f"host {self._target.host}",
                fix="Measure when the model is not in use, or on another host.",
            )

    async def _round(self, size: int, name: str) -> Round:
        """One round, undisturbed. Raises Disturbed."""
        try:
            async with asyncio.timeout(self._measurement.round_s):
                return await self._watched_round(size, name)
        except TimeoutError as error:
            raise ProfileError(
                f"a round at batch size {size} took over {self._measurement.round_s:g} s",
                where=f"host {self._target.host}",
                fix="Ask for fewer tokens, or a longer round_s.",
            ) from error
        except ExceptionGroup as several:
            raise several.exceptions[0] from None

    async def _watched_round(self, size: int, name: str) -> Round:
        wanted, full = self._measurement, asyncio.Event()
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._lookout.watch(size, full))
            others = [Timed(time.monotonic()) for _ in range(size - 1)]
            running = await self._begin(group, others, name)
            full.set()
            probed = [await self._probe(f"{name}.probe-{n}", 1) for n in range(1, wanted.probes)]
            probed.append(await self._probe(f"{name}.last", wanted.output_tokens))
            await self._lookout.check(size - 1, batch_too=True)
            for task in (watching, *running):
                task.cancel()
        return round_of(probed[-1], others, [one.ttft_s for one in probed])

    async def _probe(self, name: str, output_tokens: int) -> Timed:
        return await run_to_end(self._client, self.request(name, output_tokens))

    async def _begin(
        self, group: asyncio.TaskGroup, others: list[Timed], name: str
    ) -> list[asyncio.Task[None]]:
        """Begin a generation for each of `others`; return when all are past their first token."""
        longest = self._target.max_model_len - self._measurement.prompt_tokens
        begun = [asyncio.Event() for _ in others]
        running = [
            group.create_task(
                run_until_stopped(
                    self._client, self.request(f"{name}.{n}", longest), one, event.set
                )
            )
            for n, (one, event) in enumerate(zip(others, begun, strict=True))
        ]
        for event in begun:
            await event.wait()
        return running


def _line(figures: SizeFigures) -> str:
    return (
        f"batch size {figures.batch_size}: {figures.tokens_per_s:.0f} tokens/s, "
        f"TPOT {figures.tpot_p50_s * 1000:.1f} ms, TTFT {figures.ttft_p50_s * 1000:.0f} ms"
    )

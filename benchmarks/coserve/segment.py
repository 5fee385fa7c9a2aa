"""One segment: a load on one endpoint for one window, watched by its clients.

Batch work is a closed loop: so many requests at once, the next one when one ends. The window begins
when every slot has batch work, so that no arm is measured while it fills up.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

import httpx

from benchmarks.coserve.workload import Arrival
from benchmarks.open_loop import Due, send_when_due
from benchmarks.setting import BenchmarkUnable
from benchmarks.streams import Endpoint, Question, Stream, require_served, stream_client

_LIMIT_S = 180.0
_SETTLE_S = 1.0
_LOOK_S = 0.05


@dataclass(frozen=True)
class Load:
    """What a segment sends."""

    name: str
    """Prefix of its request ids, and the salt of its prefix cache."""
    arrivals: Sequence[Arrival] = ()
    batch: Iterator[Question] | None = None
    batch_streams: int = 0
    """Batch requests sent at once."""
    slots: int = 0
    """So many of them run before the window begins."""
    window_s: float = 0.0
    to_the_end: bool = False
    """Go on until every batch request has ended; `batch` must have an end then."""


@dataclass
class Segment:
    """What its clients saw."""

    began: float
    """On the clock of `time.monotonic()`."""
    began_at: float
    """The same moment, in seconds since the epoch."""
    window_s: float
    interactive: list[Stream] = field(default_factory=list)
    batch: list[Stream] = field(default_factory=list)

    def batch_tokens_per_s(self) -> float:
        """Batch tokens that came within the window, over its length."""
        ended = self.began + self.window_s
        tokens = sum(stream.tokens_between(self.began, ended) for stream in self.batch)
        return tokens / self.window_s


def run_segment(endpoint: Endpoint, load: Load) -> Segment:
    """Send the load, watch it. Raises BenchmarkUnable if an interactive request was not served."""
    segment = asyncio.run(_run(endpoint, load))
    require_served(segment.interactive, endpoint.url)
    return segment


async def _run(endpoint: Endpoint, load: Load) -> Segment:
    async with stream_client(_LIMIT_S, endpoint.key) as client:
        pool = _BatchPool(client, endpoint, load)
        async with pool.working():
            await pool.warm()
            segment = Segment(time.monotonic(), time.time(), load.window_s, batch=pool.streams)
            segment.interactive = await _open_loop(client, endpoint, load, segment.began)
            await asyncio.sleep(max(0.0, segment.began + load.window_s - time.monotonic()))
            if load.to_the_end:
                await pool.finished()
    return segment


async def _open_loop(
    client: httpx.AsyncClient, endpoint: Endpoint, load: Load, began: float
) -> list[Stream]:
    due = [
        Due(
            arrival.at_s,
            Stream(f"{load.name}-i{number}", arrival.question),
            endpoint.body(arrival.question, batch=False, salt=load.name),
        )
        for number, arrival in enumerate(load.arrivals)
    ]
    await send_when_due(client, endpoint.url, due, began)
    return [each.stream for each in due]


class _BatchPool:
    """Clients of batch work, each with one request at a time."""

    def __init__(self, client: httpx.AsyncClient, endpoint: Endpoint, load: Load) -> None:
        self._client, self._endpoint, self._load = client, endpoint, load
        self._numbers = count()
        self._workers: list[asyncio.Task[None]] = []
        self.streams: list[Stream] = []

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """As long as this is open; then their streams are closed."""
        if self._load.batch is not None:
            work = self._load.batch
            for _ in range(self._load.batch_streams):
                self._workers.append(asyncio.create_task(self._work(work)))
        try:
            yield
        finally:
            for worker in self._workers:
                worker.cancel()
            await asyncio.gather(*self._workers, return_exceptions=True)

    async def _work(self, work: Iterator[Question]) -> None:
        for question in work:
            stream = Stream(f"{self._load.name}-b{next(self._numbers)}", question)
            self.streams.append(stream)
            body = self._endpoint.body(question, batch=True, salt=self._load.name)
            await stream.read(self._client, self._endpoint.url, body)
            if stream.error is not None:
                return  # it counts as lost; asking on would only make more of them

    async def warm(self) -> None:
        """Wait until every slot has batch work that has come beyond its prompt."""
        if not self._load.slots:
            return  # nothing to wait for: no batch work, or work that ends
        deadline = time.monotonic() + _LIMIT_S
        while sum(bool(stream.times) for stream in self.streams) < self._load.slots:
            self._check()
            if time.monotonic() > deadline:
                raise BenchmarkUnable(
                    f"batch work did not fill {self._load.slots} slots within {_LIMIT_S:.0f} s",
                    where=self._endpoint.url,
                    fix="Look at the servers' logs.",
                )
            await asyncio.sleep(_LOOK_S)
        await asyncio.sleep(_SETTLE_S)

    async def finished(self) -> None:
        """Wait until there is no more work."""
        await asyncio.gather(*self._workers)

    def _check(self) -> None:
        broken = [stream for stream in self.streams if stream.error is not None]
        require_served(broken, self._endpoint.url)

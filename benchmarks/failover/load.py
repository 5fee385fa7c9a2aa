"""The load that lasts over all kills: clients that each ask again as soon as they are answered."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count

import httpx

from benchmarks.chat import prompt
from benchmarks.setting import BenchmarkUnable
from benchmarks.streams import Endpoint, Question, Stream, stream_client

_LIMIT_S = 300.0
_AFTER_AN_ERROR_S = 0.5
_PROMPTS = 500


@dataclass(frozen=True)
class Clients:
    """So many clients of one model and class."""

    endpoint: Endpoint
    number: int
    output_tokens: int
    batch: bool = False


@dataclass
class Served:
    """Every request that was sent, in the order of sending; all are complete when the load ends."""

    streams: list[Stream] = field(default_factory=list)

    def running_at(self, moment: float) -> list[Stream]:
        """Those with a first token before `moment` (monotonic clock), and a last one after it."""
        return [s for s in self.streams if s.times and s.times[0] < moment < s.times[-1]]

    @property
    def lost(self) -> list[Stream]:
        """Those whose client got an error, or less than it asked for, so far."""
        return [stream for stream in self.streams if stream.error is not None]


def gap_over(stream: Stream, moment: float) -> float:
    """The time between the last token before `moment` and the first one after it."""
    after = next(at for at in stream.times if at > moment)
    return after - max(at for at in stream.times if at <= moment)


def model_of(stream: Stream) -> str:
    """The model that a stream of this load asked for."""
    return stream.request_id.rpartition("-")[0]


@contextmanager
def lasting_load(groups: Sequence[Clients]) -> Iterator[Served]:
    """The load, from a thread of its own, as long as this is open; then what runs is finished."""
    served, stopping = Served(), threading.Event()
    problems: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(_run(groups, served, stopping.is_set))
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=run, name="lasting load")
    thread.start()
    try:
        yield served
    finally:
        stopping.set()
        thread.join()
    if problems:
        raise BenchmarkUnable(
            f"the load ended by itself: {problems[0]!r}",
            where="the benchmark's own clients",
            fix="Look at the gateway's log.",
        ) from problems[0]


async def _run(groups: Sequence[Clients], served: Served, stopping: Callable[[], bool]) -> None:
    numbers = count()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        for clients in groups:
            http = await stack.enter_async_context(stream_client(_LIMIT_S, clients.endpoint.key))
            for _ in range(clients.number):
                tasks.create_task(_ask_again(http, clients, served, numbers, stopping))


async def _ask_again(
    http: httpx.AsyncClient,
    clients: Clients,
    served: Served,
    numbers: Iterator[int],
    stopping: Callable[[], bool],
) -> None:
    endpoint = clients.endpoint
    while not stopping():
        number = next(numbers)
        question = Question(prompt(number % _PROMPTS), clients.output_tokens)
        stream = Stream(f"{endpoint.model}-{number}", question)
        served.streams.append(stream)
        body = endpoint.body(question, batch=clients.batch, salt="failover")
        await stream.read(http, endpoint.url, body)
        if stream.error is not None:
            await asyncio.sleep(_AFTER_AN_ERROR_S)

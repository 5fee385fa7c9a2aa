"""Driving a generation, over scripted streams in place of hosts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from serving.config import GatewaySettings
from serving.errors import HostUnreachable
from serving.gateway.attempts import AttemptRunner
from serving.gateway.census import Census
from serving.gateway.failures import GenerationFailed
from serving.gateway.generation import Generation
from serving.gateway.intake import Taken
from serving.gateway.pool import Pool
from serving.wire import (
    Admitted,
    ClassCounts,
    Failed,
    Finished,
    HandedBack,
    Held,
    RequestClass,
    SamplingSpec,
    Tokens,
)
from tests.fakes.host import ListSink
from tests.gateway.test_pool import HOSTS, state

EOS = 2
BROKEN = HostUnreachable("broken", where="host", fix="none")
HANG = object()


class Sink:
    def __init__(self, stop_after: int | None = None) -> None:
        self.calls: list[tuple[list[int], Finished | None]] = []
        self._stop_after = stop_after

    def deliver(self, tokens: Tokens, finished: Finished | None) -> Taken:
        self.calls.append((tokens.token_ids, finished))
        surplus = len(self.token_ids) - (self._stop_after or len(self.token_ids))
        return Taken(self._stop_after is not None and surplus >= 0, max(0, surplus))

    def start_over(self) -> None:
        self.calls.clear()

    @property
    def token_ids(self) -> list[int]:
        return [token for tokens, _ in self.calls for token in tokens]


class ScriptedStreams:
    """One script an attempt; a script is a list of portions, or an error to raise."""

    def __init__(self, *scripts: list[Any]) -> None:
        self._scripts = list(scripts)
        self.requests: list[tuple[str, Any]] = []

    @asynccontextmanager
    async def open(self, host, request) -> AsyncIterator[Any]:
        self.requests.append((host.name, request))
        yield self._play(self._scripts.pop(0))

    async def _play(self, script: list[Any]) -> AsyncIterator[Any]:
        for portion in script:
            if portion is HANG:
                await asyncio.get_running_loop().create_future()
            if isinstance(portion, Exception):
                raise portion
            yield portion


class Scene:
    def __init__(
        self,
        *scripts: list[Any],
        sink: Sink | None = None,
        request_class: RequestClass = "batch",
        **sampling: Any,
    ) -> None:
        self.pool, self.events = Pool(HOSTS), ListSink()
        self.census = Census(self.events)
        self.streams = ScriptedStreams(*scripts)
        self.sink = sink or Sink()
        spec = SamplingSpec(
            **({"max_tokens": 50, "temperature": 0.0, "eos_token_id": EOS} | sampling)
        )
        self.generation = Generation("r", "g", "m", request_class, [1], spec, 100, streamed=True)
        self.pool.on_doubt(lambda host: self.pool.report(host, state(host)))
        for host in ("a", "b"):
            self.pool.report(host, state(host))

    def start(self, wait_s: float = 120, slot_wait_s: float = 120) -> "asyncio.Task[None]":
        settings = GatewaySettings(
            replica_wait_s=wait_s, resume_wait_s=wait_s, slot_wait_s=slot_wait_s
        )
        runner = AttemptRunner(self.pool, self.streams, self.census, settings)
        return asyncio.create_task(runner.run(self.generation, self.sink, replica_wait_s=wait_s))

    def now(self, place: str) -> int:
        return self.census.count(place, "m", "batch")

    @property
    def hosts(self) -> list[str]:
        return [host for host, _ in self.streams.requests]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110 - conditions of plain objects have no event
            await asyncio.sleep(0)


async def test_tokens_and_the_end_that_come_together_are_delivered_together() -> None:
    scene = Scene([[Admitted("a", 0.0), Tokens([5]), Tokens([6, EOS]), Finished("stop")]])

    await scene.start()

    assert scene.sink.calls == [([5, 6, EOS], Finished("stop"))]


async def test_a_token_that_may_be_the_last_waits_for_what_follows() -> None:
    scene = Scene([[Admitted("a", 0.0)], [Tokens([5])], [Tokens([EOS])], [Finished("stop")]])

    await scene.start()

    assert scene.sink.calls == [([5], None), ([EOS], Finished("stop"))]


@pytest.mark.parametrize(
    "break_off",
    [[HandedBack("evicted")], BROKEN, [Failed("engine died", retryable=True)]],
    ids=["handed back", "broken", "failed"],
)
async def test_the_next_attempt_goes_elsewhere_with_the_tokens_held(break_off) -> None:
    scene = Scene(
        [[Admitted("a", 0.0), Tokens([5, 6])], break_off], [[Tokens([7]), Finished("length")]]
    )

    await scene.start()

    assert scene.sink.token_ids == [5, 6, 7]
    assert scene.hosts == ["a", "b"]
    assert scene.streams.requests[1][1].resumed_token_ids == [5, 6]


async def test_a_stream_that_just_ends_is_resumed() -> None:
    scene = Scene([[Tokens([5])]], [[Tokens([6]), Finished("length")]])

    await scene.start()

    assert scene.sink.token_ids == [5, 6]


async def test_a_last_token_lost_with_its_host_comes_again_once() -> None:
    scene = Scene([[Tokens([5])], [Tokens([EOS])], BROKEN], [[Tokens([EOS]), Finished("stop")]])

    await scene.start()

    assert scene.sink.token_ids == [5, EOS]


async def test_nothing_is_sent_when_the_host_died_after_the_last_token() -> None:
    scene = Scene([[Tokens([5, 6])], BROKEN], max_tokens=2)

    await scene.start()

    assert scene.sink.calls[-1] == ([], Finished("length"))
    assert scene.hosts == ["a"]


async def test_a_sink_that_has_enough_ends_the_generation() -> None:
    scene = Scene([[Tokens([5])], [Tokens([6])], [HANG]], sink=Sink(stop_after=2))

    await scene.start()

    assert scene.generation.finished


async def test_tokens_that_come_with_the_end_and_after_it_are_not_counted() -> None:
    scene = Scene([[Tokens([5])], [Tokens([6, 7]), Tokens([8])]], sink=Sink(stop_after=2))

    await scene.start()

    assert scene.generation.token_ids == [5, 6]


async def test_the_end_of_a_complete_stream_is_read_but_not_waited_for_long() -> None:
    scene = Scene([[Tokens([5]), Finished("length")], HANG])

    await scene.start()

    assert scene.sink.calls == [([5], Finished("length"))]
    assert scene.hosts == ["a"]


async def test_a_refusal_that_no_other_attempt_would_change_is_final() -> None:
    scene = Scene([[Failed("no such grammar", retryable=False)]])

    with pytest.raises(GenerationFailed) as caught:
        await scene.start()

    assert caught.value.refusal.status == 400
    assert "no such grammar" in caught.value.refusal.message


async def test_failures_without_a_token_between_them_are_bounded() -> None:
    scene = Scene(*[[[Failed("sick", retryable=True)]] for _ in range(9)])

    with pytest.raises(GenerationFailed) as caught:
        await scene.start()

    assert caught.value.refusal.status == 502
    assert len(scene.hosts) == 5


async def test_evictions_are_not_bounded() -> None:
    evicted = [[Admitted("a", 0.0)], [HandedBack("evicted")]]
    scene = Scene(*[evicted] * 30, [[Tokens([5]), Finished("length")]])

    await scene.start()

    assert scene.generation.evictions == 30


async def test_an_attempt_on_a_host_that_is_lost_is_given_up_at_once() -> None:
    scene = Scene([[Admitted("a", 0.0), Tokens([5])], HANG], [[Tokens([6]), Finished("length")]])
    run = scene.start()
    await until(lambda: scene.sink.token_ids == [5])

    scene.pool.lost("a", "no answer")
    await run

    assert scene.sink.token_ids == [5, 6]
    assert scene.hosts == ["a", "b"]


class SlowToClose(ScriptedStreams):
    """Its first stream is being closed until the test lets it."""

    def __init__(self, *scripts: list[Any]) -> None:
        super().__init__(*scripts)
        self.closing, self.let = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def open(self, host, request) -> AsyncIterator[Any]:
        async with super().open(host, request) as portions:
            try:
                yield portions
            finally:
                self.closing.set()
                await self.let.wait()


@pytest.mark.parametrize("silence_s", [3600.0, 0.0], ids=["lost", "silent"])
async def test_a_host_may_be_lost_again_while_the_streams_of_it_are_being_closed(
    silence_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.gateway.intake.BATCH_SLOT_WAIT_S", silence_s)
    scene = Scene()
    scene.streams = SlowToClose([HANG], [[Tokens([6]), Finished("length")]])
    run = scene.start()
    await until(lambda: scene.hosts == ["a"])
    if silence_s:
        scene.pool.lost("a", "no answer")
    await asyncio.wait_for(scene.streams.closing.wait(), 120)

    scene.pool.lost("a", "connection refused")
    scene.pool.report("a", state("a", boot_id="2"))
    scene.pool.lost("b", "no answer, in passing")
    scene.pool.report("b", state("b"))
    monkeypatch.undo()
    scene.streams.let.set()
    await run

    assert scene.sink.token_ids == [6]


async def test_the_census_follows_a_generation_and_is_left_by_a_cancelled_one() -> None:
    scene = Scene([[Admitted("a", 0.0)], HANG])
    run = scene.start()
    assert (scene.now("waiting"), scene.now("running")) == (0, 0)
    await until(lambda: scene.now("running") == 1)

    run.cancel()
    await asyncio.gather(run, return_exceptions=True)

    assert (scene.now("waiting"), scene.now("running")) == (0, 0)
    samples = [(e.waiting, e.running) for e in scene.events.events]
    assert samples == [(1, 0), (0, 1)]


async def test_without_a_replica_the_wait_ends_with_503() -> None:
    scene = Scene()
    for host in ("a", "b"):
        scene.pool.lost(host, "gone")

    with pytest.raises(GenerationFailed) as caught:
        await scene.start(wait_s=0.01)

    assert caught.value.refusal.status == 503
    assert caught.value.refusal.retry_after_s == 1


# ---------------------------------------------------------------- the wait for a slot

NO_TIME_S = 1e-6


def all_taken(scene: Scene) -> None:
    """No host has a slot that nothing is on."""
    for host in ("a", "b"):
        scene.pool.report(host, state(host, running=ClassCounts(interactive=4)))


async def test_queued_on_a_host_for_too_long_an_interactive_request_ends_with_503() -> None:
    scene = Scene([HANG], request_class="interactive")
    all_taken(scene)

    with pytest.raises(GenerationFailed) as caught:
        await scene.start(slot_wait_s=NO_TIME_S)

    assert (caught.value.refusal.status, caught.value.refusal.code) == (503, "no_slot")
    assert caught.value.refusal.retry_after_s
    assert [view.attempts for view in scene.pool.hosts()] == [0, 0]


async def test_where_another_replica_has_a_slot_it_goes_there_instead() -> None:
    there = [Admitted("b", 0.0), Tokens([6]), Finished("length")]
    scene = Scene([HANG], [there], request_class="interactive")

    await scene.start(slot_wait_s=NO_TIME_S)

    assert scene.hosts == ["a", "b"]
    assert scene.sink.token_ids == [6]


@pytest.mark.parametrize(
    ("request_class", "came"),
    [
        ("batch", []),
        ("batch", [Admitted("a", 0.0), Held()]),
        ("interactive", [Admitted("a", 0.0)]),
    ],
    ids=["batch in the queue", "held", "in a slot"],
)
async def test_all_others_may_wait_longer(request_class: RequestClass, came: list[Any]) -> None:
    scene = Scene([came, HANG] if came else [HANG], request_class=request_class)
    all_taken(scene)

    run = scene.start(slot_wait_s=NO_TIME_S)
    await until(lambda: scene.hosts == ["a"])

    await goes_on_waiting(run)


async def test_one_that_was_started_waits_for_a_slot_as_long_as_to_be_resumed() -> None:
    broken_off = [[Admitted("a", 0.0), Tokens([5])], BROKEN]
    scene = Scene(broken_off, [HANG], request_class="interactive")

    run = scene.start(slot_wait_s=NO_TIME_S)
    await until(lambda: scene.hosts == ["a", "b"])
    all_taken(scene)

    await goes_on_waiting(run)


async def goes_on_waiting(run: "asyncio.Task[None]") -> None:
    for _ in range(20):
        await asyncio.sleep(NO_TIME_S)
    assert not run.done()
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)

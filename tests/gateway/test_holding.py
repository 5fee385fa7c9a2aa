"""A generation that its host evicted in place: it waits, goes on there, or goes elsewhere."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.config import GatewaySettings
from serving.gateway.attempts import AttemptRunner
from serving.gateway.census import Census
from serving.gateway.generation import Generation
from serving.gateway.moving import PrefillRates, patience_s, worth_moving
from serving.gateway.pool import Pool
from serving.wire import (
    Admitted,
    ClassCounts,
    Finished,
    GenerateRequest,
    HandedBack,
    Held,
    Released,
    SamplingSpec,
    Tokens,
)
from tests.fakes.host import ListSink
from tests.gateway.test_attempts import Sink, until
from tests.gateway.test_pool import HOSTS, state

END = Finished("length")


class Stream:
    """One stream that a test speaks through, as its host would."""

    def __init__(self, host: str, request: GenerateRequest) -> None:
        self.host, self.request, self.left = host, request, False
        self.said: asyncio.Queue[list[Any]] = asyncio.Queue()
        self._next_token = 5 + len(request.resumed_token_ids)

    def say_token(self) -> None:
        """The tokens of a generation are 5, 6, 7 and so on, wherever it runs."""
        first = self._next_token == 5 + len(self.request.resumed_token_ids)
        self.say(Tokens([self._next_token], cached_tokens=0 if first else None))
        self._next_token += 1

    def say(self, *frames: Any) -> None:
        self.said.put_nowait(list(frames))


class SteeredStreams:
    def __init__(self) -> None:
        self.opened: list[Stream] = []

    @asynccontextmanager
    async def open(self, host, request) -> AsyncIterator[Any]:
        stream = Stream(host.name, request)
        self.opened.append(stream)
        try:
            yield self._portions(stream)
        finally:
            stream.left = True

    async def _portions(self, stream: Stream) -> AsyncIterator[Any]:
        frames: list[Any] = []
        while END not in frames:
            frames = await stream.said.get()
            yield frames


class Scene:
    """Hosts a and b; generations run on a, whose slots are held back as a test says."""

    def __init__(self, *, held_grace_s: float = 0.0) -> None:
        self.pool, self.events = Pool(HOSTS), ListSink()
        self.census, self.streams = Census(self.events), SteeredStreams()
        self.runner = AttemptRunner(
            self.pool,
            self.streams,
            self.census,
            GatewaySettings(replica_wait_s=120, resume_wait_s=120),
            held_grace_s=held_grace_s,
        )
        self.pool.report("a", state("a"))

    def room_on_b(self, slots: int) -> None:
        self.pool.report("b", state("b", running=ClassCounts(batch=4 - slots)))

    async def start(self, **sampling: Any) -> tuple[Generation, Sink, "asyncio.Task[None]"]:
        """A generation that runs on a and has one token."""
        spec = SamplingSpec(**({"max_tokens": 50, "temperature": 0.0} | sampling))
        sink = Sink()
        made = Generation(
            str(len(self.streams.opened)), "g", "m", "batch", [1, 2], spec, 100, streamed=True
        )
        run = asyncio.create_task(self.runner.run(made, sink, replica_wait_s=120))
        count = len(self.streams.opened)
        await until(lambda: len(self.streams.opened) > count)
        self.streams.opened[-1].say(Admitted("a", 0.0))
        self.streams.opened[-1].say_token()
        await until(lambda: sink.token_ids == [5])
        return made, sink, run

    async def hold(self, stream: int = 0) -> None:
        waiting = self.census.count("waiting", "m", "batch")
        self.streams.opened[stream].say(Held())
        await until(lambda: self.census.count("waiting", "m", "batch") > waiting)

    def leases(self, host: str) -> int:
        return next(view.attempts for view in self.pool.hosts() if view.name == host)

    @property
    def hosts(self) -> list[str]:
        return [stream.host for stream in self.streams.opened]


async def test_a_held_generation_goes_on_where_it_was() -> None:
    scene = Scene()
    scene.room_on_b(0)
    made, sink, run = await scene.start()
    await scene.hold()

    scene.streams.opened[0].say(Released(), Tokens([6]), END)
    await run

    assert sink.token_ids == [5, 6]
    assert scene.hosts == ["a"]
    assert (made.evictions, made.saved_tokens, made.recomputed_tokens) == (1, 3, 0)
    assert made.held_s > 0


async def test_it_waits_in_the_census_while_it_is_held() -> None:
    scene = Scene()
    _, _, run = await scene.start()
    await scene.hold()
    assert scene.census.count("running", "m", "batch") == 0

    scene.streams.opened[0].say(Released())
    await until(lambda: scene.census.count("running", "m", "batch") == 1)

    scene.streams.opened[0].say(END)
    await run


async def test_tokens_that_were_on_their_way_do_not_end_a_hold() -> None:
    scene = Scene()
    made, sink, run = await scene.start()
    await scene.hold()

    scene.streams.opened[0].say(Tokens([6]))
    await until(lambda: sink.token_ids == [5, 6])

    assert scene.census.count("waiting", "m", "batch") == 1
    scene.streams.opened[0].say(Released(), END)
    await run
    assert made.evictions == 1


async def test_it_goes_to_a_free_slot_of_another_replica_with_its_tokens() -> None:
    scene = Scene()
    scene.room_on_b(1)
    made, sink, run = await scene.start()
    await scene.hold()

    await until(lambda: scene.hosts == ["a", "b"])
    assert scene.streams.opened[0].left
    moved = scene.streams.opened[1]
    assert (moved.request.resumed_token_ids, moved.request.evictions) == ([5], 1)
    moved.say(Admitted("b", 0.0), Tokens([6], cached_tokens=1), END)
    await run

    assert sink.token_ids == [5, 6]
    assert (made.evictions, made.saved_tokens, made.recomputed_tokens) == (1, 1, 2)
    assert (scene.leases("a"), scene.leases("b")) == (0, 0)


async def test_a_slot_that_gets_free_elsewhere_is_taken() -> None:
    scene = Scene()
    scene.room_on_b(0)
    _, _, run = await scene.start()
    await scene.hold()

    scene.room_on_b(1)
    await until(lambda: scene.hosts == ["a", "b"])

    scene.streams.opened[1].say(END)
    await run


async def test_of_several_held_generations_one_goes_to_one_free_slot() -> None:
    scene = Scene()
    runs = [(await scene.start())[2] for _ in range(3)]
    for stream in range(3):
        await scene.hold(stream)

    scene.room_on_b(1)
    await until(lambda: scene.hosts == ["a", "a", "a", "b"])
    await _settle()
    assert scene.hosts == ["a", "a", "a", "b"]
    assert [stream.left for stream in scene.streams.opened].count(True) == 1

    for stream in scene.streams.opened:
        stream.say(END)
    await asyncio.gather(*runs)


async def test_the_next_one_follows_when_the_slot_is_free_again() -> None:
    scene = Scene()
    runs = [(await scene.start())[2] for _ in range(2)]
    for stream in range(2):
        await scene.hold(stream)
    scene.room_on_b(1)
    await until(lambda: len(scene.hosts) == 3)

    scene.streams.opened[2].say(END)
    await until(lambda: len(scene.hosts) == 4)

    assert scene.hosts[3] == "b"
    scene.streams.opened[3].say(END)
    await asyncio.gather(*runs)


@pytest.mark.parametrize("sampling", [{"seed": 1, "temperature": 1.0}, {"presence_penalty": 0.5}])
async def test_one_that_would_not_go_on_exactly_elsewhere_waits_for_its_release(sampling) -> None:
    scene = Scene()
    scene.room_on_b(4)
    _, sink, run = await scene.start(**sampling)
    await scene.hold()
    await _settle()
    assert scene.hosts == ["a"]

    scene.streams.opened[0].say(Released(), Tokens([6]), END)
    await run

    assert sink.token_ids == [5, 6]


async def test_one_that_is_nearly_done_is_not_computed_again_elsewhere() -> None:
    scene = Scene()
    scene.room_on_b(4)
    made, _, run = await scene.start(max_tokens=1)
    assert made.left_tokens == 0
    await scene.hold()
    await _settle()
    assert scene.hosts == ["a"]

    scene.streams.opened[0].say(Released(), END)
    await run


async def test_within_its_patience_a_release_comes_before_a_free_slot() -> None:
    scene = Scene(held_grace_s=3600)
    scene.room_on_b(4)
    _, _, run = await scene.start()
    await scene.hold()

    scene.streams.opened[0].say(Released(), END)
    await run

    assert scene.hosts == ["a"]


async def test_a_release_that_comes_with_a_free_slot_is_preferred_and_the_slot_given_up() -> None:
    scene = Scene()
    _, _, run = await scene.start()
    await scene.hold()

    scene.streams.opened[0].say(Released())
    scene.room_on_b(1)
    await until(lambda: scene.census.count("running", "m", "batch") == 1)

    assert (scene.hosts, scene.leases("b")) == (["a"], 0)
    scene.streams.opened[0].say(END)
    await run


async def test_a_held_generation_of_a_lost_host_goes_on_elsewhere() -> None:
    scene = Scene()
    made, sink, run = await scene.start(seed=None)
    await scene.hold()

    scene.pool.lost("a", "no answer")
    scene.room_on_b(4)
    await until(lambda: scene.hosts == ["a", "b"])
    scene.streams.opened[1].say(Tokens([6]), END)
    await run

    assert sink.token_ids == [5, 6]
    assert made.evictions == 1


async def test_a_held_generation_that_is_handed_back_was_evicted_once() -> None:
    scene = Scene()
    made, _, run = await scene.start()
    await scene.hold()

    scene.streams.opened[0].say(HandedBack("evicted"))
    await until(lambda: len(scene.hosts) == 2)
    scene.streams.opened[1].say(END)
    await run

    assert made.evictions == 1


async def test_a_client_that_leaves_a_held_generation_leaves_no_lease() -> None:
    scene = Scene()
    _, _, run = await scene.start()
    await scene.hold()

    run.cancel()
    await asyncio.gather(run, return_exceptions=True)

    assert (scene.leases("a"), scene.leases("b")) == (0, 0)
    assert scene.census.count("waiting", "m", "batch") == 0


def test_the_longer_a_move_would_compute_the_longer_a_generation_waits() -> None:
    rate = 1000
    assert patience_s(kept_tokens=10, prefill_tokens_per_s=rate, beside=3, grace_s=0.25) == 0.25
    assert patience_s(kept_tokens=2000, prefill_tokens_per_s=rate, beside=0, grace_s=0.25) == 2.0
    assert patience_s(kept_tokens=500, prefill_tokens_per_s=rate, beside=3, grace_s=0.25) == 2.0


def test_a_move_is_worth_it_while_more_is_left_than_is_computed_again() -> None:
    assert worth_moving(kept_tokens=1000, left_tokens=100)
    assert not worth_moving(kept_tokens=1000, left_tokens=50)


def test_the_rate_of_prefills_follows_what_is_seen() -> None:
    rates = PrefillRates()
    first = rates.tokens_per_s("m")
    rates.seen("m", 10, 1.0)
    assert rates.tokens_per_s("m") == first, "too short a prompt to tell"

    for _ in range(50):
        rates.seen("m", 8000, 1.0)

    assert rates.tokens_per_s("m") == pytest.approx(8000, rel=0.01)
    assert rates.tokens_per_s("other") == first


@st.composite
def _scripts(draw: st.DrawFn) -> list[tuple[str, int]]:
    step = st.sampled_from(["token", "hold", "release", "room", "no room"])
    return draw(st.lists(st.tuples(step, st.integers(0, 2)), max_size=40))


@given(_scripts())
def test_whatever_comes_when_every_token_comes_once_and_no_lease_is_left(script) -> None:
    asyncio.run(_play(script))


async def _play(script: list[tuple[str, int]]) -> None:
    scene = Scene()
    started = [await scene.start() for _ in range(3)]
    for what, which in script:
        stream = _stream_of(scene, which)
        match what:
            case "token":
                stream.say_token()
            case "hold":
                stream.say(Held())
            case "release":
                stream.say(Released())
            case _:
                scene.room_on_b(which if what == "room" else 0)
        await _settle()
    for which, (made, sink, run) in enumerate(started):
        while not run.done():
            _stream_of(scene, which).say(END)
            await _settle()
        run.result()
        assert sink.token_ids == made.token_ids == list(range(5, 5 + len(made.token_ids)))
    assert (scene.leases("a"), scene.leases("b")) == (0, 0)


async def _settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def _stream_of(scene: Scene, which: int) -> Stream:
    return [s for s in scene.streams.opened if s.request.request_id == str(which)][-1]

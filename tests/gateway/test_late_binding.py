"""Interactive requests wait in the gateway until a replica can answer them in time."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from serving.gateway.late_binding import LateBinding
from serving.gateway.moving import PrefillRates
from serving.gateway.placement import ReplicaLoad, pick_in_time
from serving.gateway.pool import Lease, Pool
from serving.gateway.queues import Place, Queues
from serving.queueing.line import LATE_SHARE
from tests.fakes.host import fake_fleet
from tests.gateway.test_attempts import until
from tests.gateway.test_pool import state

PATIENT_S = 60.0
SHARED = {"grant": ("m", "n"), "wake_s": {"m": 1.0, "n": 1.0}}


class Scene:
    """Hosts a and b that share m and n; the service level is 2 s, so patience is half a second."""

    def __init__(self, stack: ExitStack) -> None:
        self.fleet = fake_fleet(["m", "n"], {"a": None, "b": None})
        self.pool, rates = Pool(self.fleet.hosts), PrefillRates()
        self.pool.on_doubt(lambda _host: None)
        rates.seen("m", 1000, 1.0)
        self.queues, self.now = Queues(rates), 0.0
        self.binding = LateBinding(self.fleet, self.pool, self.queues, clock=lambda: self.now)
        self._stack = stack

    def arrives(
        self, prompt_tokens: int, *, patient_s: float = PATIENT_S
    ) -> tuple[Place, "asyncio.Task[Lease]"]:
        place = self.queues.place("m", "interactive", lambda: prompt_tokens)
        self._stack.enter_context(place)
        deadline = self.now + patient_s
        work = self.binding.lease(place, avoid=frozenset(), until=deadline)
        return place, asyncio.ensure_future(work)


@pytest.fixture
def scene() -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(stack)


async def test_a_replica_with_prompts_enough_before_it_gets_no_more(scene: Scene) -> None:
    scene.pool.report("a", state("a", **SHARED))
    _, first = scene.arrives(800)
    _, second = scene.arrives(100)
    assert (await first).host.name == "a"
    await asyncio.sleep(0)
    assert not second.done()
    second.cancel()


async def test_what_waits_goes_on_when_a_first_token_comes(scene: Scene) -> None:
    scene.pool.report("a", state("a", **SHARED))
    place, first = scene.arrives(800)
    _, second = scene.arrives(100)
    await first

    place.answered()

    assert (await second).host.name == "a"


async def test_a_host_that_wakes_gets_what_waits_at_once(scene: Scene) -> None:
    scene.pool.report("a", state("a", **SHARED))
    _, first = scene.arrives(800)
    waiting = [scene.arrives(300)[1] for _ in range(3)]
    await first

    scene.pool.report("b", state("b", **SHARED))

    await until(lambda: sum(task.done() for task in waiting) == 2)
    assert {task.result().host.name for task in waiting if task.done()} == {"b"}
    for task in waiting:
        task.cancel()


async def test_those_that_can_be_in_time_go_before_those_that_are_late(scene: Scene) -> None:
    scene.pool.report("a", state("a", **SHARED))
    place, first = scene.arrives(800)
    await first
    _, late = scene.arrives(600)
    await asyncio.sleep(0)
    scene.now = 10.0
    fresh_place, fresh = scene.arrives(600)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    place.answered()

    assert (await fresh).host.name == "a"
    assert not late.done()
    fresh_place.answered()
    assert (await late).host.name == "a"


async def test_of_more_than_can_be_in_time_the_longest_prompts_are_put_off(scene: Scene) -> None:
    scene.pool.report("a", state("a", **SHARED))
    place, first = scene.arrives(800)
    await first
    _, long = scene.arrives(1500)
    short_place, short = scene.arrives(600)
    await asyncio.sleep(0)

    place.answered()

    assert (await short).host.name == "a"
    assert not long.done()
    short_place.answered()
    assert (await long).host.name == "a"


async def test_a_late_request_is_sent_though_others_can_be_in_time_all_the_while(
    scene: Scene,
) -> None:
    scene.pool.report("a", state("a", **SHARED))
    place, first = scene.arrives(800)
    await first
    _, late = scene.arrives(600)
    await asyncio.sleep(0)
    scene.now, before_it = 10.0, 0
    while before_it <= 1 / LATE_SHARE:
        fresh_place, fresh = scene.arrives(600)
        await asyncio.sleep(0)
        place.answered()
        await asyncio.wait([late, fresh], timeout=60, return_when=asyncio.FIRST_COMPLETED)
        if late.done():
            fresh.cancel()
            break
        place, before_it = fresh_place, before_it + 1
    assert late.done()
    assert before_it > 1


async def test_who_has_waited_as_long_as_it_may_keeps_its_turn_while_there_is_a_replica(
    scene: Scene,
) -> None:
    scene.pool.report("a", state("a", **SHARED))
    place, first = scene.arrives(800)
    await first
    _, overdue = scene.arrives(100, patient_s=-1.0)
    await asyncio.sleep(0.05)
    assert not overdue.done()

    place.answered()

    assert (await overdue).host.name == "a"


async def test_without_a_replica_the_wait_ends(scene: Scene) -> None:
    binding = LateBinding(scene.fleet, scene.pool, scene.queues)
    with scene.queues.place("m", "interactive", lambda: 100) as place, pytest.raises(TimeoutError):
        await binding.lease(place, avoid=frozenset(), until=time.monotonic() + 0.02)


async def test_a_client_that_goes_away_leaves_no_lease_behind(scene: Scene) -> None:
    _, waiting = scene.arrives(100)
    await asyncio.sleep(0)
    scene.pool.report("a", state("a", **SHARED))
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.sleep(0)
    assert scene.pool.host("a").attempts == 0


def load(host: str, interactive: int, *, shared: bool) -> ReplicaLoad:
    return ReplicaLoad(host, interactive, 0, slots=8, interactive_cap=4, shared=shared)


def test_a_host_of_the_models_own_comes_first_then_the_busiest_shared_one() -> None:
    own, idle, busy = (
        load("o", 3, shared=False),
        load("i", 0, shared=True),
        load("b", 2, shared=True),
    )
    assert pick_in_time([idle, busy, own]) == "o"
    assert pick_in_time([idle, busy, own], piled={"o"}) == "b"
    assert pick_in_time([idle, busy, own], piled={"o", "b"}) == "i"
    assert pick_in_time([idle, busy, own], piled={"o", "b", "i"}) is None


def test_a_shared_host_with_all_its_interactive_places_taken_is_the_last() -> None:
    full, idle = load("f", 4, shared=True), load("i", 0, shared=True)
    assert pick_in_time([full, idle]) == "i"

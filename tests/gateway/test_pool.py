"""The pool of hosts: loads, leases, the wait for a replica."""

import asyncio
import time

import pytest

from serving.config import HostSettings
from serving.gateway.pool import Pool
from serving.wire import WIRE_VERSION, ClassCounts, HostState

HOSTS = [HostSettings(name="a", port=1), HostSettings(name="b", port=2)]
NOBODY: frozenset[str] = frozenset()


def state(host: str, **changes) -> HostState:
    fields = {
        "host": host,
        "boot_id": "1",
        "revision": 1,
        "wire_version": WIRE_VERSION,
        "phase": "serving",
        "awake_model": "m",
        "plan_id": 0,
        "tiers": {"m": "awake"},
        "running": ClassCounts(),
        "waiting": ClassCounts(),
        "slots": 4,
        "interactive_cap": 2,
        "memory_bytes": 1,
        "versions": {},
    }
    return HostState(**(fields | changes))


async def pick(pool: Pool, request_class="interactive", avoid=NOBODY) -> str:
    until = time.monotonic()
    return (await pool.replica("m", request_class, avoid=avoid, until=until)).name


@pytest.mark.parametrize(
    "changes",
    [
        {"phase": "swapping"},
        {"phase": "failed", "failure": "x"},
        {"awake_model": "other"},
        {"awake_model": None},
        {"wire_version": WIRE_VERSION + 1},
    ],
)
async def test_a_host_that_cannot_serve_the_model_is_no_replica(changes) -> None:
    pool = Pool(HOSTS)
    pool.report("a", state("a", **changes))

    assert pool.replicas("m") == []
    with pytest.raises(TimeoutError):
        await pick(pool)


async def test_what_was_just_sent_counts_before_the_host_reports_it() -> None:
    pool = Pool(HOSTS)
    for host in ("a", "b"):
        pool.report(host, state(host))

    with pool.lease(HOSTS[0], "interactive"):
        assert await pick(pool) == "b"
        with pool.lease(HOSTS[1], "interactive"), pool.lease(HOSTS[1], "interactive"):
            assert await pick(pool) == "a"
    assert await pick(pool) == "a"


async def test_load_that_others_brought_counts_too() -> None:
    pool = Pool(HOSTS)
    pool.report("a", state("a", running=ClassCounts(interactive=1), waiting=ClassCounts(batch=1)))
    pool.report("b", state("b"))

    assert await pick(pool) == "b"


async def test_what_a_host_holds_takes_batch_room_there() -> None:
    pool = Pool(HOSTS)
    pool.report("a", state("a", running=ClassCounts(batch=1), held=2))
    pool.report("b", state("b", running=ClassCounts(batch=2)))

    assert await pick(pool, "batch") == "b"


async def test_a_slot_elsewhere_is_leased_before_the_next_one_looks() -> None:
    pool = Pool(HOSTS)
    pool.report("b", state("b", running=ClassCounts(batch=3)))

    first = await pool.batch_slot_elsewhere("m", than="a")
    second = asyncio.create_task(pool.batch_slot_elsewhere("m", than="a"))
    await asyncio.sleep(0)
    assert (first.host.name, second.done()) == ("b", False)

    first.close()
    first.close()

    assert (await second).host.name == "b"


async def test_many_waiters_are_woken_by_one_report() -> None:
    pool = Pool(HOSTS)
    until = time.monotonic() + 120
    waiters = [
        asyncio.create_task(pool.replica("m", "batch", avoid=NOBODY, until=until))
        for _ in range(20)
    ]
    await asyncio.sleep(0)

    pool.report("b", state("b"))

    assert {host.name for host in await asyncio.gather(*waiters)} == {"b"}


async def test_a_doubted_host_is_asked_again_and_used_only_after_it_reported() -> None:
    pool, asked = Pool(HOSTS), []
    pool.on_doubt(asked.append)
    pool.report("a", state("a"))

    pool.doubt("a")

    assert (asked, pool.replicas("m")) == (["a"], [])
    pool.report("a", state("a", revision=2))
    assert pool.replicas("m") == ["a"]


@pytest.mark.parametrize(
    "lose",
    [
        lambda pool: pool.lost("a", "no answer"),
        lambda pool: pool.report("a", state("a", boot_id="2")),
    ],
)
async def test_attempts_on_a_lost_or_restarted_host_are_told(lose) -> None:
    pool, told = Pool(HOSTS), []
    pool.report("a", state("a"))

    with pool.lease(HOSTS[0], "batch") as here, pool.lease(HOSTS[1], "batch") as elsewhere:
        here.lose = lambda: told.append("here")
        elsewhere.lose = lambda: told.append("elsewhere")
        lose(pool)

    assert told == ["here"]
    assert (here.lost, elsewhere.lost) == (True, False)


async def test_batch_that_waits_for_a_slot_on_its_host_is_counted_by_model() -> None:
    pool = Pool(HOSTS)
    pool.report("a", state("a", waiting=ClassCounts(batch=3), held=2))
    pool.report("b", state("b", waiting=ClassCounts(interactive=1, batch=1)))
    assert pool.batch_queued() == {"m": 4}

    pool.lost("b", "no answer")

    assert pool.batch_queued() == {"m": 3}

"""Watching a host: which of its answers count."""

import asyncio
from typing import Any

import pytest

from serving.gateway.pool import Pool
from serving.gateway.watch import HostWatch
from serving.wire import HostState
from tests.gateway.test_attempts import until
from tests.gateway.test_pool import HOSTS, state


class AnsweredWatch(HostWatch):
    """Its host answers when the test says so."""

    def __init__(self, pool: Pool) -> None:
        unused: Any = None
        super().__init__(HOSTS[0], "token", unused, pool)
        self.asked: list[asyncio.Future[HostState]] = []

    async def _ask(self) -> HostState:
        self.asked.append(asyncio.get_running_loop().create_future())
        return await self.asked[-1]


@pytest.mark.parametrize("turns", range(6))
async def test_a_state_from_before_a_host_was_doubted_does_not_end_the_doubt(turns: int) -> None:
    """However far its answer has come: the host serves no more, and its news are on their way."""
    pool = Pool(HOSTS)
    watch = AnsweredWatch(pool)
    pool.on_doubt(lambda _host: watch.ask_now())
    running = asyncio.create_task(watch.run())
    await until(lambda: len(watch.asked) == 1)
    watch.asked[0].set_result(state("a"))
    for _ in range(turns):
        await asyncio.sleep(0)

    pool.doubt("a")

    await until(lambda: len(watch.asked) > 1 and not watch.asked[-1].done())
    assert pool.replicas("m") == []
    watch.asked[-1].set_result(state("a", revision=2))
    await until(lambda: pool.replicas("m") == ["a"])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

"""A gateway's streams by a trunk: the same frames, and a broken trunk is a broken stream."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from serving.config import HostSettings, StateFolder
from serving.errors import HostUnreachable
from serving.gateway.streams import HostStreams
from serving.gateway.trunks import Trunk
from serving.wire import Finished, Frame, GenerateRequest, Tokens
from tests.fakes.engine import expected_tokens
from tests.fakes.generate import generate_request
from tests.fakes.host import LIMIT_S, FakeHost, fake_fleet, running_host

Scenario = Callable[[HostStreams], Awaitable[None]]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[FakeHost]:
    fleet = fake_fleet(["a"], {"host-0": "a"})
    with running_host(fleet, StateFolder(tmp_path), "host-0") as running:
        yield running


def play(host: FakeHost, scenario: Scenario) -> None:
    async def within() -> None:
        async with asyncio.timeout(LIMIT_S), streams(host) as opened:
            await scenario(opened)

    asyncio.run(within())


@asynccontextmanager
async def streams(host: FakeHost) -> AsyncIterator[HostStreams]:
    async with (
        aiohttp.ClientSession() as session,
        aclosing(HostStreams(session, host.token)) as opened,
    ):
        yield opened


def settings(host: FakeHost) -> HostSettings:
    return host.fleet.host(host.name)


def request(request_id: str = "r") -> GenerateRequest:
    return generate_request(request_id, "a", prompt=[7], max_tokens=5)


async def trunk_of(opened: HostStreams, host: FakeHost) -> Trunk:
    """The trunk, once it is open."""
    while (trunk := opened.trunks.to(settings(host))) is None:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.01)
    return trunk


async def frames(opened: HostStreams, host: FakeHost, request_id: str = "r") -> list[Frame]:
    async with opened.open(settings(host), request(request_id)) as portions:
        return [frame async for portion in portions for frame in portion]


def tokens(came: list[Frame]) -> list[int]:
    return [token for frame in came if isinstance(frame, Tokens) for token in frame.token_ids]


def test_a_stream_is_the_same_before_there_is_a_trunk_and_on_it(host: FakeHost) -> None:
    async def scenario(opened: HostStreams) -> None:
        before = await frames(opened, host)
        await trunk_of(opened, host)
        many = await asyncio.gather(*(frames(opened, host, f"r{i}") for i in range(8)))
        for came in (before, *many):
            assert tokens(came) == expected_tokens("a", [7], 5)
            assert came[-1] == Finished("length")

    play(host, scenario)


def test_what_came_before_a_trunk_broke_is_taken_first(host: FakeHost) -> None:
    host.engines.gate.close()
    host.engines.gate.let(2)

    async def scenario(opened: HostStreams) -> None:
        await trunk_of(opened, host)
        came: list[Frame] = []

        async def until_two_tokens_and_on() -> None:
            async with opened.open(settings(host), request()) as portions:
                async for portion in portions:
                    came.extend(portion)
                    if len(tokens(came)) == 2:
                        await asyncio.to_thread(host.kill)

        with pytest.raises(HostUnreachable):
            await until_two_tokens_and_on()
        assert tokens(came) == expected_tokens("a", [7], 2)

    play(host, scenario)


def test_a_host_that_was_started_again_gets_a_new_trunk(host: FakeHost) -> None:
    async def scenario(opened: HostStreams) -> None:
        old = await trunk_of(opened, host)
        await asyncio.to_thread(host.restart)
        assert tokens(await frames(opened, host)) == expected_tokens("a", [7], 5)
        new = await trunk_of(opened, host)
        assert new is not old
        assert tokens(await frames(opened, host)) == expected_tokens("a", [7], 5)

    play(host, scenario)


def test_a_trunk_that_the_host_does_not_know_is_not_used_again(host: FakeHost) -> None:
    async def scenario(opened: HostStreams) -> None:
        trunk = await trunk_of(opened, host)
        trunk.name = "another"
        assert tokens(await frames(opened, host)) == expected_tokens("a", [7], 5)
        assert await trunk_of(opened, host) is not trunk

    play(host, scenario)

"""Requests that kill engines are found and refused; whoever only ran beside them is not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.config import GatewaySettings
from serving.errors import HostUnreachable
from serving.gateway.attempts import AttemptRunner
from serving.gateway.census import Census
from serving.gateway.failures import GenerationFailed
from serving.gateway.generation import Generation
from serving.gateway.lines.company import Company
from serving.gateway.lines.partials import Checkpoint, Partials
from serving.gateway.lines.suspicion import (
    GOT_ON_TOKENS,
    HOST_DEATH,
    INNOCENT,
    MOST_DEATHS,
    Suspicion,
)
from serving.gateway.pool import Pool
from serving.gateway.streams import HostStreams
from serving.wire import Admitted, Failed, Finished, GenerateRequest, SamplingSpec, Tokens
from tests.fakes.host import ListSink
from tests.gateway.test_attempts import Sink
from tests.gateway.test_pool import HOSTS, state

# ---------------------------------------------------------------- what deaths say


def after_deaths(*companies: int, host_gone: bool = False) -> Suspicion:
    suspicion = INNOCENT
    for company in companies:
        suspicion = suspicion.died(at_tokens=10, company=company, host_gone=host_gone)
    return suspicion


@pytest.mark.parametrize("companies", [(0, 0), (7, 7, 0), (7, 7, 1, 0), (7,) * MOST_DEATHS])
def test_who_is_poison(companies: tuple[int, ...]) -> None:
    assert after_deaths(*companies).is_poison
    assert not after_deaths(*companies[:-1]).is_poison


@pytest.mark.parametrize("companies", [(0,) * 4, (7,) * 6 + (0,), (7,) * 2 * MOST_DEATHS])
def test_hosts_that_are_gone_count_half(companies: tuple[int, ...]) -> None:
    assert after_deaths(*companies, host_gone=True).is_poison
    assert not after_deaths(*companies[:-1], host_gone=True).is_poison


def test_two_deaths_in_company_make_a_suspect_and_a_third_a_grave_one() -> None:
    assert not after_deaths(7).is_suspect
    assert after_deaths(7, 7).is_suspect
    assert not after_deaths(7, 7).needs_engine_alone
    assert after_deaths(7, 7, 3).needs_engine_alone


@given(st.lists(st.integers(0, 3), max_size=8), st.integers(10, 100))
def test_who_gets_on_is_cleared(companies: list[int], further: int) -> None:
    suspicion = after_deaths(*companies)
    got_on = suspicion.got_to(10 + further)
    assert got_on == (INNOCENT if further >= GOT_ON_TOKENS else suspicion)


@given(st.lists(st.integers(GOT_ON_TOKENS, 50), min_size=1, max_size=30))
def test_a_long_line_is_not_blamed_for_hosts_that_are_killed_again_and_again(
    steps: list[int],
) -> None:
    suspicion, tokens = INNOCENT, 0
    for step in steps:
        tokens += step
        suspicion = suspicion.died(at_tokens=tokens, company=0)
        assert not suspicion.is_poison


# ---------------------------------------------------------------- who computed when an engine died


def test_all_whose_engine_died_hear_of_the_same_company() -> None:
    company = Company()
    for name in "abc":
        company.computes("host", name)
    assert [company.died("host", name) for name in "abc"] == [2, 2, 2]
    assert company.died("host", "a") is None


def test_who_was_held_or_queued_did_not_compute() -> None:
    company = Company()
    company.computes("host", "a")
    company.computes("host", "b")
    company.rests("host", "b")
    assert company.died("host", "b") is None
    assert company.died("host", "a") == 0


def test_a_stream_that_went_on_meets_the_next_death_in_its_own_company() -> None:
    company = Company()
    company.computes("host", "a")
    company.computes("host", "b")
    assert company.died("host", "a") == 1
    company.got_token("host", "b")
    assert company.died("host", "b") == 0


# ---------------------------------------------------------------- a fleet with poison in its work


class MortalStreams(HostStreams):
    """Engines that compute a token of everything in turn, and die of what a test calls poison.

    `hosts_die`: their hosts with them.
    """

    def __init__(self, pool: Pool, poison: dict[str, int], *, hosts_die: bool) -> None:
        self._pool, self._poison, self._hosts_die = pool, poison, hosts_die
        self._epoch = dict.fromkeys((host.name for host in HOSTS), 0)
        self.deaths = 0

    @asynccontextmanager
    async def open(self, host: Any, request: GenerateRequest) -> AsyncIterator[Any]:
        yield self._play(host.name, request)

    async def _play(self, host: str, request: GenerateRequest) -> AsyncIterator[Any]:
        epoch, at = self._epoch[host], len(request.resumed_token_ids)
        yield [Admitted(host, 0.0)]
        while at < request.sampling.max_tokens:
            await asyncio.sleep(0)
            if self._poison.get(request.request_id, 10**9) <= at and self._epoch[host] == epoch:
                self._epoch[host] += 1
                self.deaths += 1
            if self._epoch[host] != epoch:
                if self._hosts_die:
                    raise HostUnreachable("died", where=host, fix="none")
                yield [Failed("the engine died", retryable=True)]
                return
            at += 1
            yield [Tokens([at], cached_tokens=0 if at == 1 else None)]
        yield [Finished("length")]


class Fleet:
    def __init__(self, poison: dict[str, int], *, hosts_die: bool = False) -> None:
        self.pool = Pool(HOSTS)
        self.pool.on_doubt(lambda host: self.pool.report(host, state(host, slots=64)))
        for host in HOSTS:
            self.pool.report(host.name, state(host.name, slots=64))
        self.streams = MortalStreams(self.pool, poison, hosts_die=hosts_die)
        self.partials = Partials()
        waits = GatewaySettings(replica_wait_s=120, resume_wait_s=120)
        census = Census(ListSink())
        self._runner = AttemptRunner(
            self.pool,
            self.streams,
            census,
            waits,
            partials=self.partials,
        )

    async def run(self, name: str) -> str:
        """How the line `name` ends, asked for again as the run of a batch does."""
        while (end := await self._ask(name)) == "attempts_failed":
            pass
        return end

    async def _ask(self, name: str) -> str:
        sampling = SamplingSpec(max_tokens=60, temperature=0.0)
        line = Generation(name, name, "m", "batch", [1], sampling, 100, streamed=False)
        line.checkpoint = Checkpoint(name, b"")
        sink = Sink()
        try:
            await self._runner.run(line, sink, replica_wait_s=120)
        except GenerationFailed as failed:
            return str(failed.refusal.code)
        return "done" if sink.token_ids == list(range(1, 61)) else "wrong"


@settings(max_examples=40, deadline=None)
@given(
    lines=st.integers(1, 24),
    poison=st.dictionaries(st.integers(0, 23), st.integers(0, 59), max_size=3),
    hosts_die=st.booleans(),
)
async def test_all_poison_is_found_and_nothing_but_poison(
    lines: int, poison: dict[int, int], hosts_die: bool
) -> None:
    deadly = {str(line): at for line, at in poison.items() if line < lines}
    fleet = Fleet(deadly, hosts_die=hosts_die)
    async with asyncio.timeout(120):
        ends = await asyncio.gather(*(fleet.run(str(line)) for line in range(lines)))
    expected = ["poison_request" if str(n) in deadly else "done" for n in range(lines)]
    assert ends == expected
    most = MOST_DEATHS / HOST_DEATH if hosts_die else MOST_DEATHS
    assert fleet.streams.deaths <= most * len(deadly)


async def test_poison_is_refused_at_once_when_it_comes_again() -> None:
    fleet = Fleet({"bad": 5})
    assert await fleet.run("bad") == "poison_request"
    deaths = fleet.streams.deaths
    assert await fleet.run("bad") == "poison_request"
    assert fleet.streams.deaths == deaths == 2

"""The engine of rows, over a stand-in for the gateway."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from orchestration.batch.asking import Terms, headers_of
from orchestration.batch.asks import Ask, Outcome, Shard
from orchestration.batch.journal import Journal
from orchestration.batch.ordering import by_prefix
from orchestration.batch.persistence import persist
from orchestration.batch.rows import RowsEngine
from orchestration.batch.verdict import AWAY_PAUSE_S, Busy, Faulty, verdict
from orchestration.batch.window import places
from tests.orchestration.building import a_model
from tests.orchestration.gateway import REPLICA, FakeGateway, fake_gateway

MODELS = {"a": a_model("a", most=2)}
ASKED_BODIES: dict[str, Callable[[str], dict[str, Any]]] = {
    "/v1/chat/completions": lambda text: {"messages": [{"role": "user", "content": text}]},
    "/v1/completions": lambda text: {"prompt": text},
    "/v1/responses": lambda text: {"input": text},
}


def an_ask(key: int, text: str = "", path: str = "/v1/chat/completions") -> Ask:
    body = {"model": "a", **ASKED_BODIES[path](text or f"question {key}")}
    return Ask(
        key=key, custom_id=f"row-{key}", path=path, model="a", body=msgspec.json.encode(body)
    )


def a_shard(name: str, keys: Iterable[int], path: str = "/v1/chat/completions") -> Shard:
    def read(wanted: Iterable[int]) -> Iterator[Ask]:
        return (an_ask(key, path=path) for key in wanted)

    return Shard(name=name, model="a", keys=list(keys), read=read)


def terms(gateway: FakeGateway, **changed: Any) -> Terms:
    told = {"base_url": f"http://127.0.0.1:{gateway.port}", "api_key": "key", "name": "batch_1"}
    return Terms(**(told | changed))


class Run:
    """One run over journals in a folder; entered, it holds them."""

    def __init__(self, folder: Path, shards: list[Shard], **settings: Any) -> None:
        self._stack = ExitStack()
        self.journals = {
            shard.name: self._stack.enter_context(Journal(folder / shard.name)) for shard in shards
        }
        self.engine = RowsEngine(shards, self.journals, MODELS, **settings)
        self.stop = asyncio.Event()

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def outcome(self, key: int) -> Outcome:
        found = [journal.read(key) for journal in self.journals.values() if key in journal]
        assert len(found) == 1
        assert found[0] is not None
        return found[0]


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with fake_gateway() as running:
        running.hosts = [REPLICA]
        yield running


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_shards_run_side_by_side_and_every_line_is_asked_once(
    tmp_path: Path, gateway: FakeGateway
) -> None:
    shards = [a_shard("one", range(20)), a_shard("two", range(20, 40))]
    with Run(tmp_path, shards) as run:
        assert await run.engine.run(terms(gateway), run.stop)
        figures = run.engine.figures()
        said = bytes(run.outcome(33).body)

    assert sorted(gateway.texts()) == sorted(f"question {n}" for n in range(40))
    assert {body["service_tier"] for body in gateway.asked} == {"flex"}
    assert {headers["authorization"] for headers in gateway.headers} == {"Bearer key"}
    assert b"answer to question 33" in said
    assert (figures.done, figures.failed, figures.left_s) == (40, 0, 0.0)
    assert (figures.tokens.prompt, figures.tokens.completion) == (120, 200)


@pytest.mark.parametrize("path", ASKED_BODIES)
async def test_every_endpoint_is_asked_at_its_path_and_its_tokens_are_counted(
    path: str, tmp_path: Path, gateway: FakeGateway
) -> None:
    with Run(tmp_path, [a_shard("one", range(2), path)]) as run:
        await run.engine.run(terms(gateway), run.stop)
        outcome = run.outcome(1)

    assert outcome.ok
    assert (outcome.tokens.prompt, outcome.tokens.completion) == (3, 5)


async def test_a_run_asks_only_for_what_is_missing(tmp_path: Path, gateway: FakeGateway) -> None:
    with Run(tmp_path, [a_shard("one", range(4))]) as run:
        await run.engine.run(terms(gateway), run.stop)
    gateway.asked.clear()

    with Run(tmp_path, [a_shard("one", range(6))]) as run:
        assert await run.engine.run(terms(gateway), run.stop)
        figures = run.engine.figures()

    assert sorted(gateway.texts()) == ["question 4", "question 5"]
    assert (figures.done, figures.done_before) == (6, 4)


async def test_no_more_requests_are_open_than_the_window(
    tmp_path: Path, gateway: FakeGateway
) -> None:
    gateway.answers = {f"question {n}": ["hold"] for n in range(40)}
    with Run(tmp_path, [a_shard("one", range(20)), a_shard("two", range(20, 40))], window=3) as run:
        running = asyncio.create_task(run.engine.run(terms(gateway), run.stop))
        await until(lambda: len(gateway.asked) >= 3)
        figures = run.engine.figures()
        assert (figures.open, figures.window) == (3, 3)
        assert len(gateway.asked) == 3
        gateway.let_go.set()
        assert await running


async def test_a_bad_line_costs_nothing_but_itself(tmp_path: Path, gateway: FakeGateway) -> None:
    gateway.answers = {"question 1": [400] * 9, "question 2": [500] * 9, "question 3": [500]}
    with Run(tmp_path, [a_shard("one", range(5))]) as run:
        await run.engine.run(terms(gateway), run.stop)
        statuses = [run.outcome(key).status for key in range(5)]

    assert statuses == [200, 400, 500, 200, 200]
    assert gateway.texts().count("question 1") == 1
    assert gateway.texts().count("question 2") == 3


async def test_errors_are_asked_anew_only_when_told(tmp_path: Path, gateway: FakeGateway) -> None:
    gateway.answers = {"question 1": [400]}
    shards = [a_shard("one", range(3))]
    for retry, asked in ((False, 3), (False, 3), (True, 4)):
        with Run(tmp_path, shards, retry_errors=retry) as run:
            await run.engine.run(terms(gateway), run.stop)
            figures = run.engine.figures()
        assert len(gateway.asked) == asked
        assert (figures.done, figures.failed) == (3, 0 if retry else 1)


async def test_a_busy_or_dying_gateway_is_waited_for(tmp_path: Path, gateway: FakeGateway) -> None:
    gateway.answers = {"question 1": [503, 429], "question 2": ["die", 504]}
    with Run(tmp_path, [a_shard("one", range(4))]) as run:
        assert await run.engine.run(terms(gateway), run.stop)
        assert all(run.outcome(key).ok for key in range(4))

    assert gateway.texts().count("question 1") == 3


async def test_a_run_that_is_stopped_gives_up_what_is_open_and_keeps_what_is_done(
    tmp_path: Path, gateway: FakeGateway
) -> None:
    gateway.answers = {"question 3": ["hold"]}
    with Run(tmp_path, [a_shard("one", range(4))], window=4) as run:
        running = asyncio.create_task(run.engine.run(terms(gateway), run.stop))
        await until(lambda: len(run.journals["one"]) == 3 and "question 3" in gateway.texts())
        run.stop.set()

        assert not await running
        assert 3 not in run.journals["one"]


async def test_a_run_without_a_replica_waits_and_says_for_what(
    tmp_path: Path, gateway: FakeGateway
) -> None:
    gateway.hosts = []
    gateway.answers = {"question 0": ["hold"]}
    with Run(tmp_path, [a_shard("one", range(1))]) as run:
        running = asyncio.create_task(run.engine.run(terms(gateway), run.stop))
        await until(lambda: "a replica of a" in run.engine.figures().waits_for)
        gateway.let_go.set()

        assert await running
        assert run.engine.figures().waits_for == ""


async def test_the_window_follows_the_slots_on_offer(tmp_path: Path, gateway: FakeGateway) -> None:
    gateway.answers = {"question 0": ["hold"]}
    gateway.hosts = [REPLICA, {**REPLICA, "host": "host-1"}]
    with Run(tmp_path, [a_shard("one", range(1))]) as run:
        running = asyncio.create_task(run.engine.run(terms(gateway), run.stop))
        await until(lambda: run.engine.figures().window == places(16, MODELS["a"]))
        gateway.let_go.set()
        assert await running


def test_prompts_that_begin_alike_are_sent_one_after_the_other() -> None:
    texts = ["book one, question b", "book two, question a", "book one, question a"]
    asks = [an_ask(key, text) for key, text in enumerate(texts)]

    assert [ask.key for ask in by_prefix(asks)] == [2, 0, 1]


def test_only_a_bounded_stretch_is_looked_at() -> None:
    asks = (an_ask(key, f"{1000 - key:04d}") for key in range(1000))
    taken = by_prefix(asks)

    assert next(taken).key == 255
    assert next(asks).key == 256


def test_requests_are_named_by_their_batch_and_line_and_tell_when_they_are_due() -> None:
    told = Terms(base_url="", api_key="", name="batch_1", due_at=1000.0)

    headers = headers_of(an_ask(7), told, now=400.0)

    assert headers["x-request-id"].startswith("batch_1.7.")
    assert headers["x-turntable-checkpoint"] == "batch_1/7"
    assert headers["x-turntable-deadline-s"] == headers["x-turntable-wait-s"] == "600"
    undated = headers_of(an_ask(7), Terms(base_url="", api_key="", name="b"), now=400.0)
    assert "x-turntable-deadline-s" not in undated


def test_rows_are_due_sooner_the_further_a_batch_falls_behind() -> None:
    told = Terms(base_url="", api_key="", name="batch_1", due_at=1000.0)

    def due_s(now: float, rows_left: int) -> str:
        headers = headers_of(an_ask(7), told, now, rows_left=rows_left, window=10)
        return headers["x-turntable-deadline-s"]

    assert due_s(400.0, rows_left=100) == "60", "ten rounds of ten rows in ten minutes"
    assert due_s(700.0, rows_left=100) == "30", "half of the time has gone and no row was done"
    assert due_s(700.0, rows_left=50) == "60", "as many rows were done as time has gone"
    assert due_s(400.0, rows_left=3) == "600", "the last rows have all the time there is"
    assert due_s(2000.0, rows_left=100) == "1"


def test_requests_say_whose_batch_they_are_of_where_it_is_anybodys() -> None:
    told = Terms(base_url="", api_key="", name="batch_1")

    hers = headers_of(an_ask(7), msgspec.structs.replace(told, account="ada"), now=400.0)

    assert hers["x-turntable-account"] == "ada"
    assert "x-turntable-account" not in headers_of(an_ask(7), told, now=400.0)


def test_an_answer_that_is_none_is_a_fault_and_a_break_in_it_does_not_break_the_journal() -> None:
    with pytest.raises(Faulty) as fault:
        verdict(an_ask(1), 200, b"<html>", {})
    assert fault.value.outcome.error is not None
    refused = verdict(an_ask(1), 400, b'{\n "error": 1\n}', {})
    assert bytes(refused.body) == b'{"error":1}'
    assert bytes(verdict(an_ask(1), 413, b"too\nlarge", {}).body) == b'"too\\nlarge"'


async def test_the_gateway_says_how_long_to_wait_and_is_soon_asked_again_when_it_was_away() -> None:
    pauses: list[float] = []
    away = [Busy("away", longest_pause_s=AWAY_PAUSE_S)] * 20
    results: list[Exception | None] = [Busy("no", 7.0), Busy("no", 99.0), *away, None]

    async def attempt() -> Outcome:
        result = results.pop(0)
        if result is not None:
            raise result
        return Outcome(key=1, custom_id="1", status=200)

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    outcome = await persist(attempt, lambda _: None, pause=pause)

    assert outcome.ok
    assert pauses[:2] == [7.0, 10.0]
    assert max(pauses[2:]) == AWAY_PAUSE_S

"""Measuring a stream, against a server whose stream is known."""

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from benchmarks.chat import Answer, Load, ask, prompt, run_load
from benchmarks.ports import free_ports
from benchmarks.servers import Server
from benchmarks.setting import BenchmarkUnable
from benchmarks.start import first_answer

PAUSE_S = 0.05


MEETING = threading.Barrier(4, timeout=120)
"""Where streams of the model "together" meet before their first token."""


async def _complete(request: Request) -> Response:
    body = await request.json()
    if body["model"] == "unknown":
        return JSONResponse({"error": {"message": "no such model"}}, status_code=404)

    async def events() -> AsyncIterator[str]:
        yield event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
        if body["model"] == "together":
            await asyncio.to_thread(MEETING.wait)
        if body["model"] != "silent":
            for _ in range(body["max_tokens"]):
                await asyncio.sleep(PAUSE_S)
                yield event({"choices": [{"delta": {"content": "x"}}]})
        usage = {"completion_tokens": body["max_tokens"]}
        yield event({"choices": [], "usage": usage})
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


def event(content: dict) -> str:
    return f"data: {json.dumps(content)}\n\n"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    (port,) = free_ports(1)
    app = Starlette(routes=[Route("/v1/chat/completions", _complete, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def test_the_first_token_is_the_first_text_and_not_the_opening_chunk(url: str) -> None:
    answer = ask(url, "m", "hello", max_tokens=4)
    assert answer.ttft_s >= PAUSE_S
    assert answer.total_s >= 4 * PAUSE_S
    assert answer.output_tokens == 4
    assert answer.first_token_at == answer.asked_at + answer.ttft_s


def test_streams_of_a_load_run_side_by_side(url: str) -> None:
    # One after the other they would wait for each other for ever.
    load = run_load(url, "together", ["a", "b", "c", "d"], max_tokens=20)
    assert [answer.output_tokens for answer in load.answers] == [20] * 4
    assert load.wall_s >= max(answer.total_s for answer in load.answers)


def test_a_refused_request_raises(url: str) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        ask(url, "unknown", "hello", max_tokens=1)


def test_a_stream_without_a_token_is_no_answer(url: str) -> None:
    with pytest.raises(httpx.HTTPError, match="without a token"):
        ask(url, "silent", "hello", max_tokens=1)


def test_rates_count_tokens_after_the_first_alone_and_all_tokens_together() -> None:
    answer = Answer(asked_at=0.0, ttft_s=1.0, total_s=3.0, output_tokens=21)
    assert answer.tokens_per_s == 10
    assert Load([answer, answer], wall_s=4.0).tokens_per_s == 10.5


def test_prompts_differ_from_their_first_word_on() -> None:
    assert len({prompt(number).split()[0] for number in range(50)}) == 50


def test_a_server_that_refuses_the_first_question_is_not_asked_forever(
    url: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with (
        Server(command, tmp_path / "log", dict(os.environ)) as server,
        pytest.raises(BenchmarkUnable, match=r"404.*no such model"),
    ):
        first_answer(server, url, "unknown")


def test_the_first_answer_is_waited_for_while_nobody_listens(url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('gone')"]
    (nobody,) = free_ports(1)
    with Server(command, tmp_path / "log", dict(os.environ)) as server:
        assert first_answer(server, url, "m").output_tokens == 4
        with pytest.raises(BenchmarkUnable, match="gone"):
            first_answer(server, f"http://127.0.0.1:{nobody}", "m")

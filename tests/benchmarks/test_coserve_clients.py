"""The co-serving benchmark's clients, against a server whose stream is known."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from benchmarks.coserve.accounts import harmed
from benchmarks.coserve.segment import Load, run_segment
from benchmarks.coserve.workload import (
    SIZES,
    Question,
    batch_work,
    bursts,
)
from benchmarks.ports import free_ports
from benchmarks.setting import BenchmarkUnable
from benchmarks.streams import Endpoint

LIGHT, _ = SIZES
TEXTS = ["one", "two", "three"]


SEEN: list[dict] = []


async def _complete(request: Request) -> Response:
    body = await request.json()
    SEEN.append(body | {"id": request.headers["x-request-id"]})
    if body["model"] == "refusing":
        return JSONResponse({"error": "no"}, status_code=503)

    async def events() -> AsyncIterator[str]:
        last = body["max_tokens"] - (body["model"] == "short")
        for tokens in range(last + 1):
            await asyncio.sleep(0.002)
            content = {"choices": [{"delta": {"content": "x" * (tokens > 0)}}]}
            yield f"data: {json.dumps(content | {'usage': {'completion_tokens': tokens}})}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


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


def test_interactive_requests_come_over_batch_work_that_never_ends(url: str) -> None:
    SEEN.clear()
    arrivals = bursts(LIGHT, TEXTS, 1, number=1, mean_tokens=8)
    load = Load("s", arrivals, batch_work(TEXTS, 1), batch_streams=4, slots=3, window_s=6.0)
    segment = run_segment(Endpoint(url, "m", {"service_tier": "flex"}), load)
    assert [s.tokens for s in segment.interactive] == [a.question.max_tokens for a in arrivals]
    assert segment.batch_tokens_per_s() > 0
    assert len(segment.batch) >= 4
    batch = [body for body in SEEN if body.get("service_tier") == "flex"]
    assert len(batch) >= 4
    assert {body["cache_salt"] for body in SEEN} == {"s"}
    assert [body["id"] for body in SEEN if "service_tier" not in body] == ["s-i0", "s-i1"]


def test_interactive_work_can_be_alone(url: str) -> None:
    arrivals = bursts(LIGHT, TEXTS, 1, number=1, mean_tokens=8)
    segment = run_segment(Endpoint(url, "m", {}), Load("s", arrivals, window_s=0.1))
    assert [s.ended_at is not None for s in segment.interactive] == [True, True]
    assert segment.batch == []


def test_given_rows_are_all_carried_out(url: str) -> None:
    rows = [Question(f"row {n}", 5) for n in range(7)]
    load = Load("s", batch=iter(rows), batch_streams=3, slots=3, to_the_end=True)
    segment = run_segment(Endpoint(url, "m", {}), load)
    assert sorted(s.question.text for s in segment.batch) == [row.text for row in rows]
    assert harmed(segment.batch) == 0


def test_an_answer_that_ends_short_is_a_lost_row(url: str) -> None:
    load = Load("s", batch=iter([Question("row", 5)]), batch_streams=1, to_the_end=True)
    segment = run_segment(Endpoint(url, "short", {}), load)
    assert harmed(segment.batch) == 1


def test_interactive_work_that_is_not_served_ends_the_benchmark(url: str) -> None:
    load = Load("s", bursts(LIGHT, TEXTS, 1, number=1, mean_tokens=8), window_s=0.1)
    with pytest.raises(BenchmarkUnable, match="503"):
        run_segment(Endpoint(url, "refusing", {}), load)

"""What the gateway says of its own tasks: those that die are told, and begun again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from serving.config import StateFolder
from serving.gateway.assembly import running_gateway
from serving.gateway.switcher import Switcher
from tests.fakes.host import ListSink, fake_fleet


@asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway whose only host is not there: it is asked for again and again."""
    fleet = fake_fleet(["m"], {"host-0": "m"})

    async def build(*_: Any) -> Starlette:
        return Starlette()

    state, sink = StateFolder(folder), ListSink()
    async with running_gateway(fleet, state=state, events=sink, build=build) as running:
        transport = httpx.ASGITransport(running.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            yield client


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(120):
        while not await condition():  # noqa: ASYNC110 - what an answer says has no event
            await asyncio.sleep(0.01)


async def test_a_gateway_whose_tasks_all_run_is_well(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.get("/health")

        assert (answer.status_code, answer.json()) == (200, {"status": "well"})


async def test_a_task_that_dies_is_told_and_begun_again_and_the_gateway_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    def broken(_switcher: Switcher) -> float | None:
        looks.append("broken")
        raise ValueError("a fault of the rule")

    def mended(_switcher: Switcher) -> float | None:
        looks.append("mended")
        return None

    monkeypatch.setattr(Switcher, "look", broken)
    async with gateway(tmp_path) as client:

        async def failing() -> bool:
            answer = await client.get("/health")
            told = {task["task"]: task["why"] for task in answer.json().get("failing", [])}
            return answer.status_code == 503 and told == {
                "switcher": "ValueError: a fault of the rule"
            }

        await until(failing)
        assert (await client.get("/live")).status_code == 200

        monkeypatch.setattr(Switcher, "look", mended)

        async def looked() -> bool:
            return "mended" in looks

        await until(looked)

"""Real engines whose steps are abandoned: exact tokens, and that a request that comes does it."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from serving.engine.vllm.abandoning import is_worth_abandoning
from serving.engine.vllm.engine import VllmEngine
from tests.fakes.host import wait_until
from tests.fakes.real_engine import Generation, real_engine

pytestmark = [pytest.mark.vllm, pytest.mark.asyncio(loop_scope="module")]

LAYERS = 30
PROMPTS = [[504, 3575, 282, 4649, 314], [500 + i * 31 for i in range(140)], [900, 901, 902]]
COUNT = 24
WORKER = "tests.fakes.interrupted_worker.InterruptedWorker"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine() -> AsyncIterator[VllmEngine]:
    settings: dict[str, Any] = {"dtype": "float32", "max_model_len": 256, "kv_cache_gib": 0.1}
    async with real_engine(
        slots=4, interactive_cap=1, engine_args={"worker_cls": WORKER}, **settings
    ) as started:
        yield started


async def ask(engine: VllmEngine, method: str, *arguments: Any) -> Any:
    assert engine._llm is not None
    return (await engine._llm.collective_rpc(method, args=arguments))[0]


async def undisturbed(engine: VllmEngine, prompt: list[int]) -> list[int]:
    return await Generation(engine, "undisturbed", prompt, max_tokens=COUNT).end()


def batch_work(engine: VllmEngine, **fields: Any) -> list[Generation]:
    return [
        Generation(engine, f"b{i}", prompt, max_tokens=COUNT, request_class="batch", **fields)
        for i, prompt in enumerate(PROMPTS)
    ]


async def test_batch_work_many_of_whose_steps_are_abandoned_gets_the_same_tokens(
    engine: VllmEngine,
) -> None:
    expected = [await undisturbed(engine, prompt) for prompt in PROMPTS]
    before = await ask(engine, "abandoned_steps")
    # One for each step that ends: what was abandoned ends in the step after it.
    chosen = random.Random(4)
    layers = [chosen.randrange(LAYERS) for _ in range(COUNT)]
    await ask(engine, "interrupt", layers)
    salted = batch_work(engine, cache_salt="not what the undisturbed ones have cached")
    assert await asyncio.gather(*(one.end() for one in salted)) == expected
    abandoned = await ask(engine, "abandoned_steps") - before
    assert abandoned == sum(map(is_stopped, layers)) > 0


def is_stopped(layer: int) -> bool:
    return is_worth_abandoning(layers_left=LAYERS - layer, layers=LAYERS)


async def test_a_seeded_generation_gets_the_same_tokens(engine: VllmEngine) -> None:
    sampling = {"temperature": 0.8, "seed": 11}
    expected = await batch_work(engine, sampling=sampling)[0].end()
    await ask(engine, "interrupt", [0, 5, 22, 1, 1, 29, 10])
    assert await batch_work(engine, sampling=sampling)[0].end() == expected


async def test_a_request_that_comes_in_the_middle_of_a_step_has_it_abandoned(
    engine: VllmEngine, tmp_path: Path
) -> None:
    expected = [await undisturbed(engine, prompt) for prompt in PROMPTS[:2]]
    before = await ask(engine, "abandoned_steps")
    waits = tmp_path / "waits"
    await ask(engine, "wait_for_arrival", str(waits))
    batch = asyncio.create_task(batch_work(engine)[0].end())
    await asyncio.to_thread(wait_until, waits.exists)
    interactive = await Generation(engine, "i", PROMPTS[1], max_tokens=COUNT).end()
    assert [await batch, interactive] == expected
    assert await ask(engine, "abandoned_steps") == before + 1

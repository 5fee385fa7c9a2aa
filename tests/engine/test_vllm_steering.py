"""A real vLLM engine held to a steering: what reaches the scheduler, and exact tokens."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from serving.engine.protocol import EngineFailed, Steering
from serving.engine.vllm.engine import VllmEngine
from tests.fakes.real_engine import Generation, real_engine

pytestmark = [pytest.mark.vllm, pytest.mark.asyncio(loop_scope="module")]

SLOTS = 3
PROMPT = [504, 3575, 282, 4649, 314]
# Eight blocks of 128 tokens: three prompts of 200 take six.
KV_CACHE_GIB = 0.05


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine() -> AsyncIterator[VllmEngine]:
    settings = {"dtype": "float32", "max_model_len": 512, "slots": SLOTS, "interactive_cap": 1}
    async with real_engine(kv_cache_gib=KV_CACHE_GIB, **settings) as started:
        yield started


def long_prompt(seed: int, length: int) -> list[int]:
    return [500 + (seed * 7919 + i * 31) % 20000 for i in range(length)]


async def undisturbed(engine: VllmEngine, prompt: list[int], count: int) -> list[int]:
    return await Generation(engine, "undisturbed", prompt, max_tokens=count).end()


async def test_a_held_generation_gets_no_token_and_then_those_of_an_undisturbed_run(
    engine: VllmEngine,
) -> None:
    expected = await undisturbed(engine, PROMPT, 60)
    batch = Generation(engine, "b", PROMPT, max_tokens=60, request_class="batch")
    await batch.until(5)
    await engine.steer(Steering(held=frozenset({"b"})))
    # What was on its way when it was held comes still; the end of another one says it is here.
    await Generation(engine, "i1", PROMPT, max_tokens=2).end()
    reading = asyncio.create_task(batch.end())
    await Generation(engine, "i2", PROMPT, max_tokens=2).end()
    seen = len(batch.tokens)
    await Generation(engine, "i3", PROMPT, max_tokens=80).end()
    assert len(batch.tokens) == seen < 60
    await engine.steer(Steering())
    assert await reading == expected


async def test_interactive_work_starts_while_every_slot_is_held_and_blocks_run_out(
    engine: VllmEngine,
) -> None:
    prompts = [long_prompt(i, 200) for i in range(SLOTS)]
    expected = [await undisturbed(engine, prompt, 20) for prompt in prompts]
    batch = [
        Generation(engine, f"b{i}", prompt, max_tokens=20, request_class="batch")
        for i, prompt in enumerate(prompts)
    ]
    for one in batch:
        await one.until(3)
    await engine.steer(Steering(held=frozenset({"b0", "b1", "b2"})))
    interactive = [
        Generation(engine, f"i{i}", long_prompt(10 + i, 300), max_tokens=4) for i in range(2)
    ]
    ends = [await one.end() for one in interactive]
    assert [len(tokens) for tokens in ends] == [4, 4]
    await engine.steer(Steering())
    assert [await one.end() for one in batch] == expected


async def test_a_held_generation_can_be_closed_and_the_engine_slept(engine: VllmEngine) -> None:
    expected = await undisturbed(engine, PROMPT, 8)
    batch = Generation(engine, "b", PROMPT, max_tokens=400, request_class="batch")
    await batch.until(2)
    await engine.steer(Steering(held=frozenset({"b"})))
    await batch.outputs.aclose()  # type: ignore[attr-defined]
    await engine.sleep(1)
    await engine.wake()
    assert await undisturbed(engine, PROMPT, 8) == expected
    await engine.steer(Steering())


async def test_batch_prompts_wait_for_their_budget(engine: VllmEngine) -> None:
    await engine.steer(Steering(batch_prefill_tokens=0))
    prompt = long_prompt(20, 100)
    batch = asyncio.create_task(
        Generation(engine, "b", prompt, max_tokens=3, request_class="batch").end()
    )
    await Generation(engine, "i", PROMPT, max_tokens=20).end()
    assert not batch.done()
    await engine.steer(Steering(batch_prefill_tokens=16))
    assert await batch == await undisturbed(engine, prompt, 3)
    await engine.steer(Steering())


async def test_an_engine_that_dies_fails_what_it_holds_and_whoever_steers_it(
    engine: VllmEngine,
) -> None:
    batch = Generation(engine, "b", PROMPT, max_tokens=400, request_class="batch")
    await batch.until(2)
    await engine.steer(Steering(held=frozenset({"b"})))
    (process,) = engine._processes.started
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(EngineFailed):
        await batch.end()
    await engine.lost()
    with pytest.raises(EngineFailed):
        await engine.steer(Steering())

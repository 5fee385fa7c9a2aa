"""A real vLLM engine held to a steering: what reaches the scheduler, and exact tokens."""

import asyncio
import os
import signal
from asyncio import Task
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from serving.engine.protocol import EngineFailed, Steering
from serving.engine.vllm.engine import VllmEngine
from tests.fakes.real_engine import Generation, real_engine

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]

SLOTS = 3
ROUNDS = 20
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


async def held_in_their_middle(
    engine: VllmEngine, prompts: list[list[int]], count: int
) -> tuple[list[Generation], list[Task[list[int]]]]:
    """Batch generations of `count` tokens, all held after a few, and the tasks that read them.

    One of them may have ended before it could be held: then others are tried.
    """
    for number in range(ROUNDS):
        batch = [
            Generation(engine, f"b{number}.{i}", prompt, max_tokens=count, request_class="batch")
            for i, prompt in enumerate(prompts)
        ]
        for one in batch:
            await one.until(2)
        await engine.steer(Steering(held=frozenset(one.key for one in batch)))
        # What was on its way when they were held comes still; the end of others says it is here.
        await Generation(engine, f"i{number}.1", PROMPT, max_tokens=2).end()
        reading = [asyncio.create_task(one.end()) for one in batch]
        await Generation(engine, f"i{number}.2", PROMPT, max_tokens=2).end()
        if not any(task.done() for task in reading):
            return batch, reading
        await engine.steer(Steering())
        await asyncio.gather(*reading)
    raise AssertionError(f"in {ROUNDS} rounds a generation ended before it could be held")


async def test_a_held_generation_gets_no_token_and_then_those_of_an_undisturbed_run(
    engine: VllmEngine,
) -> None:
    expected = await undisturbed(engine, PROMPT, 60)
    (batch,), (reading,) = await held_in_their_middle(engine, [PROMPT], 60)
    seen = len(batch.tokens)
    await Generation(engine, "i3", PROMPT, max_tokens=80).end()
    assert len(batch.tokens) == seen < 60
    await engine.steer(Steering())
    assert await reading == expected


async def test_interactive_work_starts_while_every_slot_is_held_and_blocks_run_out(
    engine: VllmEngine,
) -> None:
    prompts = [long_prompt(i, 200) for i in range(SLOTS)]
    expected = [await undisturbed(engine, prompt, 50) for prompt in prompts]
    _batch, reading = await held_in_their_middle(engine, prompts, 50)
    interactive = [
        Generation(engine, f"i{i}", long_prompt(10 + i, 300), max_tokens=4) for i in range(2)
    ]
    ends = [await one.end() for one in interactive]
    assert [len(tokens) for tokens in ends] == [4, 4]
    assert not any(task.done() for task in reading)
    await engine.steer(Steering())
    assert await asyncio.gather(*reading) == expected


async def test_a_held_generation_can_be_closed_and_the_engine_slept(engine: VllmEngine) -> None:
    expected = await undisturbed(engine, PROMPT, 8)
    _batch, (reading,) = await held_in_their_middle(engine, [PROMPT], 60)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
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
    _batch, (reading,) = await held_in_their_middle(engine, [PROMPT], 60)
    (process,) = engine._processes.started
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(EngineFailed):
        await reading
    await engine.lost()
    with pytest.raises(EngineFailed):
        await engine.steer(Steering())

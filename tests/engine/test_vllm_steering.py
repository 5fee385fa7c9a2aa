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
ENDLESS_TOKENS = 300
"""Many more than come before a test has held what makes them; then it is left."""
MORE_TOKENS = 40
"""So many come after the release."""
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
    engine: VllmEngine, prompts: list[list[int]]
) -> tuple[list[Generation], list[Task[list[int]]]]:
    """Endless batch generations, all held after a few tokens, and the tasks that read them.

    One of them may have ended before it could be held: then others are tried.
    """
    for number in range(ROUNDS):
        batch = [
            Generation(
                engine, f"b{number}.{i}", prompt, max_tokens=ENDLESS_TOKENS, request_class="batch"
            )
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


async def released(
    engine: VllmEngine, batch: list[Generation], reading: list[Task[list[int]]]
) -> list[list[int]]:
    """What all have got when each has got some tokens more; then they are left."""
    wanted = [min(len(one.tokens) + MORE_TOKENS, ENDLESS_TOKENS) for one in batch]
    await engine.steer(Steering())
    while any(len(one.tokens) < count for one, count in zip(batch, wanted, strict=True)):
        await asyncio.wait(reading, timeout=0.01)
        for task in reading:
            assert not task.done() or task.result()
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    return [one.tokens for one in batch]


async def test_a_held_generation_gets_no_token_and_then_those_of_an_undisturbed_run(
    engine: VllmEngine,
) -> None:
    (batch,), reading = await held_in_their_middle(engine, [PROMPT])
    seen = len(batch.tokens)
    await Generation(engine, "i3", PROMPT, max_tokens=80).end()
    assert len(batch.tokens) == seen
    (tokens,) = await released(engine, [batch], reading)
    assert len(tokens) > seen
    assert tokens == await undisturbed(engine, PROMPT, len(tokens))


async def test_interactive_work_starts_while_every_slot_is_held_and_blocks_run_out(
    engine: VllmEngine,
) -> None:
    prompts = [long_prompt(i, 200) for i in range(SLOTS)]
    batch, reading = await held_in_their_middle(engine, prompts)
    interactive = [
        Generation(engine, f"i{i}", long_prompt(10 + i, 300), max_tokens=4) for i in range(2)
    ]
    ends = [await one.end() for one in interactive]
    assert [len(tokens) for tokens in ends] == [4, 4]
    assert not any(task.done() for task in reading)
    for prompt, tokens in zip(prompts, await released(engine, batch, reading), strict=True):
        assert tokens == await undisturbed(engine, prompt, len(tokens))


async def test_a_held_generation_can_be_closed_and_the_engine_slept(engine: VllmEngine) -> None:
    expected = await undisturbed(engine, PROMPT, 8)
    _batch, (reading,) = await held_in_their_middle(engine, [PROMPT])
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
    _batch, (reading,) = await held_in_their_middle(engine, [PROMPT])
    (process,) = engine._processes.started
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(EngineFailed):
        await reading
    await engine.lost()
    with pytest.raises(EngineFailed):
        await engine.steer(Steering())

"""The way of a `Steering` from the host's process to the scheduler in the engine core's."""

from typing import Any

from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.core import EngineCore

from serving.engine.protocol import Steering

_METHOD = "turntable_steer"


async def send_steering(llm: AsyncLLM, steering: Steering) -> int:
    """Returns when the scheduler has it, which is between two steps: the steps abandoned so far."""
    # In order with the requests before it: both go through one queue.
    abandoned: int = await llm.engine_core.call_utility_async(
        _METHOD, sorted(steering.held), steering.batch_prefill_tokens
    )
    return abandoned


def accept_steering() -> None:
    """Have engine cores of this process take what `send_steering` sends."""
    # An engine core looks a utility up as its own attribute and hands nothing through to its
    # scheduler by name. Setting one attribute leaves vLLM's way of starting an engine core alone,
    # which a subclass would not. The scheduler asks for it: no other code of ours is certain to
    # run in the engine core's process, whoever started it.
    setattr(EngineCore, _METHOD, _steer)


def _steer(core: Any, held: list[str], batch_prefill_tokens: int | None) -> int:
    core.scheduler.steer(Steering(frozenset(held), batch_prefill_tokens))
    abandoned: int = core.scheduler.abandoned_steps
    return abandoned

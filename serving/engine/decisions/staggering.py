"""Staggered hand-back: interactive generations leave one after the other, while the rest go on.

For a hotswap whose old model stays awake elsewhere. That replica prefills what comes back to it;
all at once, every client waits for the whole of it. Pure: who leaves now, and when the next.
"""

from collections.abc import Iterable

from serving.engine.decisions.generation import Generation

STAGGER_S = 2.0
"""A staggered hand-back takes no longer: the model that is to come waits for it."""

CPU_PREFILL_TOKENS_PER_S = 800.0
"""What another replica is taken to prefill beside its own work: about SmolLM2 on a core, where a
prompt token takes 0.65 ms and a step with 8 decodes 25 ms more."""
CUDA_PREFILL_TOKENS_PER_S = 10_000.0
"""The same on a GPU: an assumption. Too small a figure only makes a hand-back longer, within
STAGGER_S."""


def next_to_leave(
    generations: Iterable[Generation], left_s: float, prefill_tokens_per_s: float
) -> tuple[list[Generation], float | None]:
    """Who of these leaves now, and after how long the next may; None: there is no next.

    `left_s` is what is left of STAGGER_S. Batch leaves with the last interactive one: nobody waits
    for its tokens, and no replica lets its prompts hold up interactive work.
    """
    staying = [g for g in generations if g.evictable and not g.halting]
    interactive = sorted(
        (g for g in staying if g.request_class == "interactive"), key=lambda g: g.tokens
    )
    if len(interactive) <= 1 or left_s <= 0:
        return staying, None
    first = interactive[0]
    return [first], min(first.tokens / prefill_tokens_per_s, left_s / len(interactive))

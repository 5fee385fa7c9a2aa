"""Batch generations that make room say the very tokens of undisturbed ones (float32).

Whatever their sampling: held, they go on where they were; moved, they are computed again elsewhere.
"""

from functools import partial
from typing import Any

import pytest

from tests.end_to_end.endless import at_once, endless
from tests.end_to_end.pool import TEST_LIMIT_S, Pool, until

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(TEST_LIMIT_S)]

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
}
EXACT_IN_PLACE: dict[str, dict[str, Any]] = {
    "penalties and log-probabilities": {
        "temperature": 0,
        "presence_penalty": 0.8,
        "frequency_penalty": 0.4,
        "logprobs": 2,
    },
    "a seed, and a repetition penalty": {
        "temperature": 0.9,
        "seed": 7,
        "extra_body": {"repetition_penalty": 1.2},
    },
    "a JSON schema": {
        "temperature": 0,
        "extra_body": {"structured_outputs": {"json": SCHEMA}, "ignore_eos": False},
    },
    "min_tokens": {"temperature": 0, "extra_body": {"min_tokens": 80, "ignore_eos": False}},
}
EXACT_ANYWHERE: list[dict[str, Any]] = [
    {"temperature": 0, "logprobs": 1},
    {"temperature": 0, "extra_body": {"repetition_penalty": 1.3}},
    {"temperature": 0, "extra_body": {"min_tokens": 100, "ignore_eos": False}},
    {"temperature": 0, "max_tokens": 160},
]
PROMPTS = [
    "Tell me about the city of Paris.",
    "Describe how bread is made.",
    "What do bees do in winter?",
    "Explain tides to a child.",
]


def asked(pool: Pool, prompt: str, options: dict[str, Any]) -> dict[str, Any]:
    """A batch completion, without what differs from request to request."""
    extra = {"service_tier": "flex", "ignore_eos": True, **options.get("extra_body", {})}
    settings = {"max_tokens": 120, **options, "extra_body": extra}
    answer = pool.openai.completions.create(model="exact", prompt=prompt, **settings)
    said: dict[str, Any] = answer.choices[0].model_dump()
    usage = answer.usage
    assert usage is not None
    for position in (said.get("logprobs") or {}).get("token_logprobs") or []:
        assert position <= 0
    if said.get("logprobs"):
        said["logprobs"] = said["logprobs"]["tokens"]
    return {**said, "usage": (usage.prompt_tokens, usage.completion_tokens)}


def chat(pool: Pool, tokens: int) -> None:
    pool.openai.completions.create(
        model="exact",
        prompt="Hello there.",
        max_tokens=tokens,
        temperature=0,
        extra_body={"ignore_eos": True},
    )


def beside_chats(
    pool: Pool, work: list[tuple[str, dict[str, Any]]], metric: str, *, chat_tokens: int
) -> list[list[dict[str, Any]]]:
    """Answers to `work`, asked again and again beside chat after chat until `metric` has grown."""
    before = pool.gateway_metric(metric)
    asks = [partial(asked, pool, *each) for each in work]
    with endless(*asks) as batch, endless(partial(chat, pool, chat_tokens)) as chats:
        chats.until(
            lambda: batch.goes_on() and pool.gateway_metric(metric) > before, f"{metric} grows"
        )
    return batch.answers


def test_held_generations_go_on_exactly_where_they_were(pool: Pool) -> None:
    assert pool.swap("host-1", "other").outcome == "committed"
    until(lambda: pool.replicas("exact") == 1, "one replica of exact is left")
    work = list(zip(PROMPTS, EXACT_IN_PLACE.values(), strict=True))
    undisturbed = at_once(*(partial(asked, pool, *each) for each in work))
    resumes = pool.gateway_metric("turntable_gateway_resumes_total")
    answers = beside_chats(pool, work, "turntable_gateway_held_seconds_total", chat_tokens=20)
    for each, expected in zip(answers, undisturbed, strict=True):
        assert each == [expected] * len(each) != []
    assert pool.gateway_metric("turntable_gateway_resumes_total") == resumes


def test_a_held_generation_goes_to_a_free_slot_elsewhere_and_says_the_same(pool: Pool) -> None:
    work = list(zip(PROMPTS, EXACT_ANYWHERE, strict=True))
    undisturbed = at_once(*(partial(asked, pool, *each) for each in work))
    late = undisturbed[-1]["text"][-60:-40]
    work[-1] = (PROMPTS[-1], {**EXACT_ANYWHERE[-1], "stop": [late]})
    undisturbed[-1] = asked(pool, *work[-1])
    answers = beside_chats(pool, work, "turntable_gateway_resumes_total", chat_tokens=80)
    for each, expected in zip(answers, undisturbed, strict=True):
        assert each == [expected] * len(each) != []

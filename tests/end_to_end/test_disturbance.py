"""Generations that are disturbed end with the very tokens of undisturbed ones (float32, greedy)."""

from collections.abc import Callable
from functools import partial

import pytest

from tests.end_to_end.endless import at_once, endless
from tests.end_to_end.pool import TEST_LIMIT_S, Pool, until

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(TEST_LIMIT_S)]

PROMPTS = [
    "Explain how a bicycle stays upright.",
    "Write a short story about a lighthouse.",
    "List the planets and say a sentence about each.",
    "Describe how bread is made.",
    "Tell me about the history of paper.",
    "What do bees do in winter?",
    "Explain tides to a child.",
    "Write a letter to an old friend.",
]
TOKENS = 80
LONG_TOKENS = 160
ROUNDS = 10
"""A host is taken away from work that goes on again and again; it may be just between two."""
RESUMES = "turntable_gateway_resumes_total"

Ask = Callable[[], str]


def text(pool: Pool, prompt: str, tier: str = "default", tokens: int = TOKENS) -> str:
    answer = pool.openai.completions.create(
        model="exact",
        prompt=prompt,
        max_tokens=tokens,
        temperature=0,
        extra_body={"service_tier": tier, "ignore_eos": True},
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens == tokens
    return answer.choices[0].text


def streamed(pool: Pool, prompt: str) -> str:
    stream = pool.openai.completions.create(
        model="exact",
        prompt=prompt,
        max_tokens=LONG_TOKENS,
        temperature=0,
        stream=True,
        extra_body={"ignore_eos": True},
    )
    return "".join(chunk.choices[0].text for chunk in stream if chunk.choices)


def disturbed(pool: Pool, asks: list[Ask], take_away: Callable[[str], None]) -> list[list[str]]:
    """Answers to `asks`, of which at least one was resumed: the host it ran on was taken away."""
    answers: list[list[str]] = [[] for _ in asks]
    before = pool.gateway_metric(RESUMES)
    for _ in range(ROUNDS):
        with endless(*asks) as work:
            host = work.until(lambda: pool.host_running("interactive"), "a host runs some of it")
            take_away(host)
        for all_rounds, this_round in zip(answers, work.answers, strict=True):
            all_rounds += this_round
        if pool.gateway_metric(RESUMES) > before:
            return answers
        pool.restore()
    raise AssertionError(f"nothing was resumed in {ROUNDS} rounds")


def the_same(answers: list[list[str]], undisturbed: list[str]) -> bool:
    """Whether each was answered, and every time as if undisturbed."""
    return [set(each) for each in answers] == [{each} for each in undisturbed]


def test_evicted_batch_requests_resume_and_say_the_same(pool: Pool) -> None:
    asks = [partial(text, pool, prompt, "flex") for prompt in PROMPTS]
    undisturbed = at_once(*asks)
    chat = partial(text, pool, "Hello there.", tokens=20)
    before = {host.name: pool.evictions(host.name) for host in pool.fleet.hosts}

    def both_evicted() -> bool:
        return all(pool.evictions(host) > count for host, count in before.items())

    with endless(*asks) as batch, endless(*[chat] * 4) as chats:
        chats.until(lambda: batch.goes_on() and both_evicted(), "both hosts evict batch work")
    assert the_same(batch.answers, undisturbed)
    assert len({said for each in chats.answers for said in each}) == 1


def test_a_hotswap_round_trip_gives_the_same_tokens(pool: Pool) -> None:
    before = text(pool, PROMPTS[0])
    for host in ("host-0", "host-1"):
        assert pool.swap(host, "other").outcome == "committed"
    until(lambda: pool.replicas("exact") == 0, "no replica of exact is left")
    answer = pool.openai.completions.create(
        model="other", prompt=PROMPTS[0], max_tokens=8, temperature=0
    )
    assert before.startswith(answer.choices[0].text)
    for host in ("host-0", "host-1"):
        report = pool.swap(host, "exact")
        assert report.outcome == "committed"
        assert report.from_tier == "asleep"
    assert text(pool, PROMPTS[0]) == before


def test_generations_survive_a_hotswap_of_their_host(pool: Pool) -> None:
    def swap_away(host: str) -> None:
        assert pool.swap(host, "other").outcome == "committed"

    asks = [partial(text, pool, prompt, tokens=LONG_TOKENS) for prompt in PROMPTS[:2]]
    undisturbed = at_once(*asks)
    assert the_same(disturbed(pool, asks, swap_away), undisturbed)


def test_streams_survive_the_death_of_their_host(pool: Pool) -> None:
    asks = [partial(streamed, pool, prompt) for prompt in PROMPTS[2:4]]
    undisturbed = at_once(*asks)
    assert the_same(disturbed(pool, asks, pool.kill_host), undisturbed)
    pool.restore()

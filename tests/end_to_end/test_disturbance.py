"""Generations that are disturbed end with the very tokens of undisturbed ones (float32, greedy)."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.end_to_end.pool import Pool, until

pytestmark = pytest.mark.vllm

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


def text(pool: Pool, prompt: str, tier: str = "default", tokens: int = TOKENS) -> str:
    answer = pool.openai.completions.create(
        model="exact",
        prompt=prompt,
        max_tokens=tokens,
        temperature=0,
        extra_body={"service_tier": tier, "ignore_eos": True},
    )
    assert answer.usage.completion_tokens == tokens
    return answer.choices[0].text


def evictions(pool: Pool) -> int:
    """Evictions by the hosts' own counters."""
    return sum(pool.evictions(host.name) for host in pool.fleet.hosts)


def test_evicted_batch_requests_resume_and_say_the_same(pool: Pool) -> None:
    undisturbed = [text(pool, prompt, "flex") for prompt in PROMPTS]
    before = evictions(pool)
    with ThreadPoolExecutor(16) as threads:
        batch = [threads.submit(text, pool, prompt, "flex") for prompt in PROMPTS]
        until(lambda: pool.running("batch") == 8, "every slot runs batch work")
        interactive = [threads.submit(text, pool, "Hello there.", tokens=40) for _ in range(4)]
        assert len({future.result() for future in interactive}) == 1
        disturbed = [future.result() for future in batch]
    assert evictions(pool) > before
    assert disturbed == undisturbed


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


def test_a_generation_survives_a_hotswap_of_its_host(pool: Pool) -> None:
    undisturbed = text(pool, PROMPTS[1])
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(text, pool, PROMPTS[1])
        host = until(lambda: pool.host_running("interactive"), "a host runs it")
        report = pool.swap(host, "other")
        assert report.outcome == "committed"
        assert future.result() == undisturbed


def test_a_stream_survives_the_death_of_its_host(pool: Pool) -> None:
    undisturbed = text(pool, PROMPTS[2], tokens=120)
    stream = pool.openai.completions.create(
        model="exact",
        prompt=PROMPTS[2],
        max_tokens=120,
        temperature=0,
        stream=True,
        extra_body={"ignore_eos": True},
    )
    received = ""
    killed = None
    for chunk in stream:
        received += chunk.choices[0].text if chunk.choices else ""
        if killed is None and len(received) > 20:
            killed = pool.host_running("interactive")
            assert killed is not None
            pool.kill_host(killed)
    assert killed is not None
    assert received == undisturbed
    pool.start_host(killed)
    pool.wait_serving(killed)
    until(lambda: pool.replicas("exact") == 2, "the gateway sees the host again")

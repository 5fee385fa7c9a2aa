"""Two real models take turns on one host, as requests for them come. No plan is made meanwhile."""

from functools import partial
from typing import Any

import pytest

from tests.end_to_end.endless import endless
from tests.end_to_end.pool import TEST_LIMIT_S, Pool, until

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(TEST_LIMIT_S)]

CAPITAL = [{"role": "user", "content": "What is the capital of France?"}]


ROUNDS = 10
"""The host may be taken from batch work that goes on again and again just between two of it."""


@pytest.fixture(scope="module")
def without_host_1(running_pool: Pool) -> Pool:
    """The pool less a host, which comes back for the tests of the next module."""
    running_pool.restore()
    if running_pool.state_of("host-0").tiers["other"] != "asleep":
        running_pool.swap("host-0", "other")
    running_pool.kill_host("host-1")
    return running_pool


@pytest.fixture
def shared(without_host_1: Pool) -> Pool:
    """A host shared by `exact`, which it has awake, and `other`; the other host is away."""
    pool = without_host_1
    pool.swap("host-0", "exact")
    pool.grant("host-0", "exact", "other")
    until(lambda: granted(pool, "host-0") == ["exact", "other"], "the gateway knows the grant")
    until(lambda: pool.replicas("exact") == 1, "the gateway sees the only host that is left")
    return pool


def granted(pool: Pool, host: str) -> list[str]:
    """As the gateway knows it."""
    found: list[str] = next(h["grant"] for h in pool.view()["hosts"] if h["host"] == host)
    return found


def switches(pool: Pool) -> float:
    """Those that were carried out: a host may refuse one whose time is over."""
    return pool.gateway_metric("turntable_gateway_switches_total", outcome="committed")


def answer(pool: Pool, model: str, **options: Any) -> str:
    said = pool.openai.chat.completions.create(
        model=model, messages=CAPITAL, max_tokens=12, temperature=0, **options
    )
    return said.choices[0].message.content or ""


def story(pool: Pool) -> str:
    """A batch completion that takes a while."""
    said = pool.openai.completions.create(
        model="exact",
        prompt="Tell me about the city of Paris.",
        max_tokens=200,
        temperature=0,
        extra_body={"service_tier": "flex", "ignore_eos": True},
    )
    return said.choices[0].text


def test_requests_for_two_models_of_one_host_are_all_answered(shared: Pool) -> None:
    plan_id = shared.state_of("host-0").plan_id
    before = switches(shared)

    answers = [answer(shared, model) for model in ("other", "exact") * 2]

    assert all("Paris" in said for said in answers)
    until(lambda: switches(shared) >= before + 4, "the switches are counted")
    assert switches(shared) == before + 4
    assert shared.state_of("host-0").plan_id == plan_id


def test_batch_gives_the_host_to_another_model_and_goes_on_with_its_tokens(shared: Pool) -> None:
    undisturbed = story(shared)
    resumes = shared.gateway_metric("turntable_gateway_resumes_total")
    for _ in range(ROUNDS):
        with endless(partial(story, shared)) as batch:
            batch.until(lambda: shared.host_running("batch"), "the batch request runs")
            assert "Paris" in answer(shared, "other")
        assert set(batch.answers[0]) == {undisturbed}
        if shared.gateway_metric("turntable_gateway_resumes_total") > resumes:
            return
    raise AssertionError(f"no batch request went on elsewhere or later in {ROUNDS} rounds")

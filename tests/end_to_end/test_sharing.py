"""Two real models take turns on one host, as requests for them come. No plan is made meanwhile."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from serving.wire import Grant
from tests.end_to_end.pool import Pool, until

pytestmark = pytest.mark.vllm

CAPITAL = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def shared(running_pool: Pool) -> Iterator[Pool]:
    """A host shared by `exact` and `other`; the other host is killed, and back afterwards."""
    pool = running_pool
    if pool.host("host-0").state().tiers["other"] != "asleep":
        pool.swap("host-0", "other")
    pool.swap("host-0", "exact")
    grant(pool, "host-0", "exact", "other")
    until(lambda: granted(pool, "host-0") == ["exact", "other"], "the gateway knows the grant")
    pool.kill_host("host-1")
    until(lambda: pool.replicas("exact") == 1, "the gateway misses the killed host")
    yield pool
    pool.start_host("host-1")
    grant(pool, "host-0", "exact")
    pool.wait_serving("host-1")
    pool.swap("host-0", "exact")
    until(lambda: pool.replicas("exact") == 2, "the gateway sees both replicas")


def grant(pool: Pool, host: str, *models: str) -> None:
    with pool.host(host) as client:
        client.grant(Grant(plan_id=client.state().plan_id + 1, models=models))


def granted(pool: Pool, host: str) -> list[str]:
    """As the gateway knows it."""
    found: list[str] = next(h["grant"] for h in pool.view()["hosts"] if h["host"] == host)
    return found


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
    plan_id = shared.host("host-0").state().plan_id
    before = shared.gateway_metric("turntable_gateway_switches_total")

    answers = [answer(shared, model) for model in ("other", "exact") * 2]

    assert all("Paris" in said for said in answers)
    assert shared.gateway_metric("turntable_gateway_switches_total") - before == 4
    assert shared.host("host-0").state().plan_id == plan_id


def test_batch_gives_the_host_to_another_model_and_goes_on_with_its_tokens(shared: Pool) -> None:
    undisturbed = story(shared)
    with ThreadPoolExecutor(1) as beside:
        batch = beside.submit(story, shared)
        until(lambda: shared.host("host-0").state().running.batch, "the batch request runs")
        assert "Paris" in answer(shared, "other")
        assert batch.result(240) == undisturbed

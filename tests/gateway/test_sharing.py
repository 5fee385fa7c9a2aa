"""Two models share hosts: what waits for one makes a host switch, and no plan is made for it."""

from collections.abc import Iterator

import pytest

from serving.wire import Grant, SwapCommand
from tests.fakes.host import wait_until
from tests.gateway.conftest import ABSENT, EXACT, Stage
from tests.gateway.test_resuming import TEXT, Streaming, half_way

BOTH = (EXACT, ABSENT)


def grant(stage: Stage, host: str, *models: str) -> None:
    with stage.hosts[host].client() as client:
        plan_id = client.state().plan_id + 1
        client.grant(Grant(plan_id=plan_id, models=models))
    wait_until(lambda: granted(stage, host) == list(models))


def granted(stage: Stage, host: str) -> list[str]:
    """As the gateway knows it."""
    return next(h["grant"] for h in stage.fleet()["hosts"] if h["host"] == host)


@pytest.fixture
def shared(stage: Stage) -> Iterator[Stage]:
    """Both hosts may have both models; dedicated to one again afterwards."""
    for host in stage.hosts:
        grant(stage, host, *BOTH)
    yield stage
    stage.gates("open")
    for host in stage.hosts.values():
        if host.host is None:
            host.restart()
        with host.client() as client:
            plan_id = client.state().plan_id + 1
            # Not refused for a switch under way: commands wait for their turn.
            client.swap(SwapCommand(model=EXACT, plan_id=plan_id, reason="t", grant=(EXACT,)))
    for host in stage.hosts:
        wait_until(lambda host=host: granted(stage, host) == [EXACT])
    wait_until(lambda: len(stage.replicas(EXACT)) == len(stage.hosts))


def chat(stage: Stage, model: str, **fields: object) -> str:
    answer = stage.openai().chat.completions.create(
        model=model, messages=[{"role": "user", "content": "hello"}], **fields
    )
    return answer.choices[0].message.content


def switches(stage: Stage) -> list[tuple[str, str]]:
    return [
        (event.from_model, event.to_model)
        for host in stage.hosts.values()
        for event in list(host.sink.events)
        if event.table == "swaps" and event.kind == "switch"
    ]


def the_replica(stage: Stage, model: str) -> str:
    """A host counts for nothing while it is asked anew: when its switch ends, after an answer."""
    seen: list[str] = []
    wait_until(lambda: bool(seen.extend(stage.replicas(model)) or seen))
    (host,) = seen
    return host


def test_a_request_for_a_model_of_a_grant_is_answered_without_a_plan(shared: Stage) -> None:
    shared.say("Good day.")
    before = len(switches(shared))

    assert chat(shared, ABSENT) == "Good day."

    # The new model answers before the old one sleeps, and it is recorded when that is done.
    wait_until(lambda: len(switches(shared)) > before)
    assert switches(shared)[before:] == [(EXACT, ABSENT)]
    assert len(shared.replicas(EXACT)) == 1, "the other host went on"


def test_requests_for_two_models_of_one_host_are_all_answered(shared: Stage) -> None:
    grant(shared, "host-1", EXACT)
    shared.hosts["host-1"].kill()
    wait_until(lambda: shared.replicas(EXACT) == ["host-0"])
    shared.say("Good day.")

    answers = [chat(shared, model) for model in BOTH * 3]

    assert answers == ["Good day."] * 6


def test_batch_on_a_host_that_switches_goes_on_elsewhere_with_its_tokens(shared: Stage) -> None:
    shared.say(TEXT)
    stream, host = half_way(shared, extra_body={"service_tier": "flex"})
    (other,) = shared.hosts.keys() - {host}
    grant(shared, other, EXACT)

    waiting = Streaming(shared, model=ABSENT)
    wait_until(lambda: shared.replicas(ABSENT) == [host])
    shared.gates("open")

    assert (stream.end(), stream.error) == (TEXT, None)
    assert waiting.end() == TEXT
    batch = next(e for e in shared.ended(2) if e.request_class == "batch")
    assert batch.hosts == [host, other]


def test_a_killed_host_leaves_its_models_to_the_hosts_that_share_them(shared: Stage) -> None:
    shared.say("Good day.")
    assert chat(shared, ABSENT) == "Good day."
    killed = the_replica(shared, ABSENT)

    shared.hosts[killed].kill()

    assert chat(shared, ABSENT) == "Good day."
    assert chat(shared, EXACT) == "Good day."


def test_what_is_switched_is_counted(shared: Stage) -> None:
    shared.say("Good day.")
    chat(shared, ABSENT)
    wait_until(
        lambda: (
            "turntable_gateway_switches_total" in shared.http.get("/metrics").text
            and f'model="{ABSENT}",outcome="committed"' in shared.http.get("/metrics").text
        )
    )

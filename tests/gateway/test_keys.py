"""API keys: who gets in, and whose a request is."""

from typing import Any

import httpx
import pytest

from serving.gateway.accounts import OPEN, Accounts
from serving.gateway.failures import RequestRefused
from serving.wire import GenerateRequest
from tests.fakes.host import wait_until
from tests.gateway.conftest import EXACT, GatewayThread, Stage

BEARER = "authorization"


def post(gateway: GatewayThread, path: str, headers: dict[str, str], **body: Any) -> httpx.Response:
    return gateway.http.post(path, json={"model": EXACT, "max_tokens": 9, **body}, headers=headers)


def ended(gateway: GatewayThread) -> list[Any]:
    return [event for event in gateway.events.events if event.table == "requests"]


def sent(stage: Stage, gateway: GatewayThread, key: str, **headers: str) -> GenerateRequest:
    """What a host is asked for when a completion is asked for with `key`."""
    seen: list[GenerateRequest] = []
    tokens = stage.tokenizer.encode("Hello")
    stage.answer(lambda request: seen.append(request) or tokens)
    asked, before = {BEARER: f"Bearer {key}", **headers}, len(ended(gateway))
    answer = post(gateway, "/v1/completions", asked, prompt="Hi", service_tier="flex")
    assert answer.status_code == 200, answer.text
    wait_until(lambda: len(ended(gateway)) > before)
    return seen[0]


@pytest.mark.parametrize(
    ("key", "account", "weight"),
    [("key of ada", "ada", 2.0), ("other key of ada", "ada", 2.0), ("key of bob", "bob", 1.0)],
)
def test_a_key_names_the_account_and_its_weight_to_the_host(
    stage: Stage, keyed_gateway: GatewayThread, key: str, account: str, weight: float
) -> None:
    request = sent(stage, keyed_gateway, key)

    assert (request.account, request.weight) == (account, weight)
    assert ended(keyed_gateway)[-1].account == account


def test_turntables_own_batch_work_has_a_key_of_the_state_folder(
    stage: Stage, keyed_gateway: GatewayThread
) -> None:
    request = sent(stage, keyed_gateway, stage.gateway.state.token("batch"))

    assert (request.account, request.weight) == ("batch", 1.0)


def test_a_batchs_lines_count_for_whoever_asked_for_the_batch(
    stage: Stage, keyed_gateway: GatewayThread
) -> None:
    own = stage.gateway.state.token("batch")

    request = sent(stage, keyed_gateway, own, **{"x-turntable-account": "ada"})
    assert (request.account, request.weight) == ("ada", 2.0)

    request = sent(stage, keyed_gateway, own, **{"x-turntable-account": "nobody"})
    assert request.account == "batch"


def test_nobody_else_can_ask_on_anothers_behalf(stage: Stage, keyed_gateway: GatewayThread) -> None:
    request = sent(stage, keyed_gateway, "key of bob", **{"x-turntable-account": "ada"})

    assert request.account == "bob"


def test_anthropics_header_is_taken_too(stage: Stage, keyed_gateway: GatewayThread) -> None:
    stage.say("Hello")
    messages = [{"role": "user", "content": "Hi"}]
    before = len(ended(keyed_gateway))

    answer = post(keyed_gateway, "/v1/messages", {"x-api-key": "key of bob"}, messages=messages)

    assert answer.status_code == 200
    wait_until(lambda: len(ended(keyed_gateway)) > before)


@pytest.mark.parametrize("headers", [{}, {BEARER: "Bearer wrong"}, {"x-api-key": "wrong"}])
def test_without_a_known_key_it_is_401_in_openais_form(
    keyed_gateway: GatewayThread, headers: dict[str, str]
) -> None:
    before = len(ended(keyed_gateway))

    answer = post(keyed_gateway, "/v1/chat/completions", headers, messages=[])

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert "wrong" not in answer.text
    assert len(ended(keyed_gateway)) == before


def test_without_a_known_key_it_is_401_in_anthropics_form(keyed_gateway: GatewayThread) -> None:
    answer = post(keyed_gateway, "/v1/messages", {"x-api-key": "wrong"}, messages=[])

    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("path", ["/tokenize", "/v1/messages/count_tokens"])
def test_paths_that_generate_nothing_want_a_key_too(
    keyed_gateway: GatewayThread, path: str
) -> None:
    assert post(keyed_gateway, path, {}, prompt="Hi").status_code == 401


def test_without_configured_keys_everyone_is_welcome_with_any_key_or_none() -> None:
    accounts = Accounts([], {"batch": "secret"})

    assert accounts.of({}) == accounts.of({b"authorization": b"Bearer none"}) == OPEN
    assert accounts.of({b"authorization": b"Bearer secret"}).name == "batch"


def test_a_key_is_the_whole_header_and_not_a_part_of_it(keyed_gateway: GatewayThread) -> None:
    accounts = Accounts(keyed_gateway.fleet.keys, {"batch": "secret"})

    assert accounts.of({b"authorization": b"bearer key of ada"}).name == "ada"
    for wrong in (b"Bearer key of", b"Basic key of ada", b"Bearer", b"Bearer key of ada2", b""):
        with pytest.raises(RequestRefused):
            accounts.of({b"authorization": wrong})


def test_a_batch_request_tells_its_deadline_and_what_is_left_of_it(stage: Stage) -> None:
    due = {"x-turntable-deadline-s": "90"}

    request = sent(stage, stage.gateway, "none", **due)

    assert request.deadline_s is not None
    assert 0 < request.deadline_s <= 90

"""What is refused, with which status, in which API's form."""

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest

from serving.gateway.calls import MAX_BODY_BYTES
from tests.fakes.host import wait_until
from tests.gateway.conftest import ABSENT, EXACT, Stage
from tests.gateway.test_resuming import sent

ASK = [{"role": "user", "content": "Hello?"}]
HIDDEN = (
    "/scale_elastic_ep",
    "/is_scaling_elastic_ep",
    "/inference/v1/generate",
    "/invocations",
    "/sleep",
    "/wake_up",
    "/pause",
    "/v1/load_lora_adapter",
    "/v1/chat/completions/batch",
    "/v1/chat/completions/render",
    "/generative_scoring",
    "/start_profile",
    "/docs",
    "/openapi.json",
)


def post(stage: Stage, path: str, **body: Any) -> httpx.Response:
    return stage.http.post(path, json=body)


@pytest.mark.parametrize("stream", [False, True])
def test_no_replica_is_503_with_retry_after_also_for_a_stream(hasty: Stage, stream: bool) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        hasty.openai().chat.completions.create(model=ABSENT, messages=ASK, stream=stream)

    assert caught.value.status_code == 503
    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert caught.value.code == "no_replica"
    assert caught.value.type == "server_error"
    assert hasty.ended(1)[0].outcome == "rejected"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/completions", "/v1/responses"])
def test_no_replica_is_503_for_the_other_openai_paths(
    hasty: Stage, path: str, stream: bool
) -> None:
    text = "input" if path.endswith("responses") else "prompt"

    answer = post(hasty, path, model=ABSENT, stream=stream, **{text: "Hello"})

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "no_replica"


@pytest.mark.parametrize("stream", [False, True])
def test_no_replica_is_an_overloaded_error_to_anthropic_clients(hasty: Stage, stream: bool) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        hasty.anthropic().messages.create(model=ABSENT, max_tokens=5, messages=ASK, stream=stream)

    assert caught.value.status_code == 503
    assert caught.value.body["error"]["type"] == "overloaded_error"
    assert "retry-after" in caught.value.response.headers


@pytest.fixture
def all_slots_taken(stage: Stage, hasty: Stage) -> Iterator[None]:
    """By requests of another gateway, whose engines say nothing; `hasty` knows."""
    stage.gates("close")
    clients = [sent(stage, {"model": EXACT, "prompt": "Tell"}) for _ in range(8)]
    wait_until(lambda: [h["running"]["interactive"] for h in hasty.fleet()["hosts"]] == [4, 4])
    yield
    stage.gates("open")
    for client in clients:
        assert client.getresponse().status == 200


@pytest.mark.usefixtures("all_slots_taken")
@pytest.mark.parametrize("stream", [False, True])
def test_no_slot_is_503_with_retry_after_also_for_a_stream(hasty: Stage, stream: bool) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        hasty.openai().chat.completions.create(model=EXACT, messages=ASK, stream=stream)

    assert caught.value.status_code == 503
    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert caught.value.code == "no_slot"
    assert caught.value.type == "server_error"
    assert hasty.ended(1)[0].outcome == "rejected"


def test_an_unknown_model_is_404_in_both_forms(stage: Stage) -> None:
    with pytest.raises(openai.NotFoundError) as of_openai:
        stage.openai().chat.completions.create(model="nobody", messages=ASK)
    with pytest.raises(anthropic.NotFoundError) as of_anthropic:
        stage.anthropic().messages.create(model="nobody", max_tokens=5, messages=ASK)

    assert of_openai.value.code == "model_not_found"
    assert EXACT in of_openai.value.message
    assert of_anthropic.value.body["error"]["type"] == "not_found_error"


@pytest.mark.parametrize(
    "body", [b'{"model": "exact",', b'{"model": "exact", "x": ' + b"[" * 20_000]
)
def test_a_body_that_is_no_json_is_400(stage: Stage, body: bytes) -> None:
    answer = stage.http.post("/v1/completions", content=body)

    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("body", [{}, {"model": None}, {"model": 7}, {"model": ""}])
def test_a_missing_model_is_400(stage: Stage, body: dict[str, Any]) -> None:
    answer = post(stage, "/v1/chat/completions", messages=ASK, **body)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "model"


def test_an_invalid_field_is_400_before_any_wait_for_a_replica(stage: Stage) -> None:
    answer = post(stage, "/v1/chat/completions", model=ABSENT, messages="no list")
    of_anthropic = post(stage, "/v1/messages", model=ABSENT, messages=ASK)

    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert of_anthropic.status_code == 400
    assert of_anthropic.json()["type"] == "error"
    assert of_anthropic.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vllm_xargs", {"a": 1}),
        ("repetition_detection", {"max_pattern_size": 5, "min_count": 3}),
        ("priority", 3),
        ("temperature", 9),
    ],
)
def test_a_parameter_that_cannot_be_carried_is_400(
    stage: Stage, name: str, value: Any, stream: bool
) -> None:
    answer = post(
        stage, "/v1/chat/completions", model=EXACT, messages=ASK, stream=stream, **{name: value}
    )

    assert answer.status_code == 400
    assert "extra_args" in answer.text if name == "vllm_xargs" else name in answer.text


def test_an_unknown_tier_is_400(stage: Stage) -> None:
    answer = post(stage, "/v1/completions", model=EXACT, prompt="Hi", service_tier="gold")

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "service_tier"


def test_too_large_a_body_is_413(stage: Stage) -> None:
    answer = stage.http.post("/v1/messages", content=b" " * (MAX_BODY_BYTES + 1))

    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "request_too_large"


@pytest.mark.parametrize("path", HIDDEN)
def test_what_vllm_mounts_beside_the_apis_is_not_reachable(stage: Stage, path: str) -> None:
    for method in ("GET", "POST"):
        answer = stage.http.request(method, path, json={"model": EXACT})

        assert answer.status_code == 404
        assert answer.json()["error"]["type"] == "invalid_request_error"
        assert "/v1/chat/completions" in answer.json()["error"]["message"]


def test_another_method_is_405_in_the_apis_form(stage: Stage) -> None:
    answer = stage.http.get("/v1/messages")

    assert answer.status_code == 405
    assert answer.json()["type"] == "error"

"""What validation and the endpoint itself say of a body: the same."""

import json
from typing import Any

import openai
import pytest
from openai.types import Batch

from tests.gateway.batch_clients import CHAT, jsonl, settled, submit
from tests.gateway.conftest import EXACT, Stage


@pytest.fixture
def client(stage: Stage) -> openai.OpenAI:
    return stage.openai(_strict_response_validation=True)


USER = [{"role": "user", "content": "Hi"}]
TOO_LONG, QUITE_LONG = "one word after the other " * 1000, "one word after the other " * 100
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
READING = [{"role": "user", "content": QUITE_LONG}]
REFUSED: list[tuple[str, dict[str, Any]]] = [
    (CHAT, {"messages": "Hi", "max_tokens": 3}),
    (CHAT, {}),
    (CHAT, {"messages": USER, "max_tokens": 3, "temperature": -1}),
    (CHAT, {"messages": USER, "max_tokens": 3, "top_p": 2}),
    (CHAT, {"messages": USER, "max_tokens": -1}),
    (CHAT, {"messages": USER, "max_tokens": 10_000_000}),
    (CHAT, {"messages": USER, "max_tokens": 3, "n": 0}),
    (CHAT, {"messages": USER, "max_tokens": 3, "priority": 5}),
    (CHAT, {"messages": [], "max_tokens": 3}),
    (CHAT, {"messages": [{"role": "user", "content": [PICTURE]}], "max_tokens": 3}),
    (CHAT, {"messages": [{"role": "user", "content": TOO_LONG}], "max_tokens": 3}),
    (CHAT, {"messages": [{"role": "user", "content": TOO_LONG}]}),
    (CHAT, {"messages": USER, "max_tokens": 3, "service_tier": "gold"}),
    (CHAT, {"messages": USER, "max_tokens": 3, "top_logprobs": 5}),
    (CHAT, {"messages": USER, "max_tokens": 3, "response_format": {"type": "json_schema"}}),
    (CHAT, {"messages": USER, "max_tokens": 3, "thinking_token_budget": 5}),
    (CHAT, {"messages": USER, "max_tokens": 3, "vllm_xargs": {"a": 1}}),
    ("/v1/completions", {"prompt": "Hi", "max_tokens": "many"}),
    ("/v1/completions", {"prompt": "Hi", "max_tokens": 3, "temperature": -1}),
    ("/v1/completions", {"prompt": {"no": "text"}, "max_tokens": 3}),
    ("/v1/completions", {"prompt": ["Hi", TOO_LONG], "max_tokens": 3}),
    ("/v1/completions", {"prompt": [5] * 3000, "max_tokens": 3}),
    ("/v1/responses", {"max_output_tokens": 5}),
    ("/v1/responses", {"input": TOO_LONG, "max_output_tokens": 3}),
    ("/v1/responses", {"input": "Hi", "max_output_tokens": 10_000_000}),
    ("/v1/responses", {"input": "Hi", "max_output_tokens": 3, "temperature": "hot"}),
    ("/v1/responses", {"input": "Hi", "max_output_tokens": 3, "background": True}),
]
TAKEN: list[tuple[str, dict[str, Any]]] = [
    (CHAT, {"messages": USER, "max_tokens": 3, "temperature": 0, "service_tier": "auto"}),
    (CHAT, {"messages": USER, "max_completion_tokens": 3, "n": 2, "stop": ["x"], "seed": 1}),
    (CHAT, {"messages": USER, "max_tokens": 3, "logprobs": True, "top_logprobs": 2}),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}),
    (CHAT, {"messages": READING, "max_tokens": 3}),
    (CHAT, {"messages": READING, "max_tokens": 1900}),
    (CHAT, {"messages": READING, "max_tokens": 3, "n": 2, "service_tier": "flex"}),
    (CHAT, {"messages": USER, "max_tokens": 3, "response_format": {"type": "json_object"}}),
    (CHAT, {"messages": USER, "max_tokens": 3, "max_output_tokens": 10_000_000}),
    ("/v1/completions", {"prompt": "Hi", "max_tokens": 3, "logprobs": 1}),
    ("/v1/completions", {"prompt": ["Hi", "Ho"], "max_tokens": 3}),
    ("/v1/completions", {"prompt": [5, 6, 7], "max_tokens": 3}),
    ("/v1/completions", {"prompt": [QUITE_LONG, QUITE_LONG], "max_tokens": 3}),
    ("/v1/completions", {"prompt": QUITE_LONG, "max_tokens": 1900}),
    ("/v1/responses", {"input": "Hi", "max_output_tokens": 3}),
    ("/v1/responses", {"input": QUITE_LONG, "max_output_tokens": 3}),
    ("/v1/responses", {"input": QUITE_LONG, "max_output_tokens": 1900}),
    ("/v1/responses", {"input": [{"role": "user", "content": "Hi"}], "max_output_tokens": 3}),
]


def verdict(client: openai.OpenAI, endpoint: str, body: dict[str, Any]) -> Batch:
    line = {"custom_id": "a", "method": "POST", "url": endpoint, "body": {"model": EXACT, **body}}
    return settled(client, submit(client, jsonl(line), endpoint=endpoint))


@pytest.mark.parametrize(("endpoint", "body"), REFUSED, ids=lambda each: json.dumps(each)[:60])
def test_what_the_endpoint_refuses_validation_refuses(
    stage: Stage, client: openai.OpenAI, endpoint: str, body: dict[str, Any]
) -> None:
    answer = stage.http.post(endpoint, json={"model": EXACT, **body})
    assert 400 <= answer.status_code < 500, answer.text

    batch = verdict(client, endpoint, body)

    assert batch.status == "failed"
    assert batch.errors is not None
    assert {error.line for error in batch.errors.data or []} == {1}


@pytest.mark.parametrize(("endpoint", "body"), TAKEN, ids=lambda each: json.dumps(each)[:60])
def test_what_the_endpoint_takes_validation_takes(
    stage: Stage, client: openai.OpenAI, endpoint: str, body: dict[str, Any]
) -> None:
    stage.say("Yes")
    answer = stage.http.post(endpoint, json={"model": EXACT, **body})
    assert answer.status_code == 200, answer.text

    batch = verdict(client, endpoint, body)

    assert (batch.status, batch.errors) == ("in_progress", None)


def test_a_line_cannot_be_streamed(client: openai.OpenAI) -> None:
    batch = verdict(client, CHAT, {"messages": USER, "stream": True})

    assert batch.errors is not None
    assert [error.param for error in batch.errors.data or []] == ["body.stream"]

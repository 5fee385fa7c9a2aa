"""Reading request bodies and writing answers, without any server."""

import json
from typing import Any

import pytest

from serving.gateway.calls import MAX_BATCH_WAIT_S, BatchWishes, batch_wishes, read_call
from serving.gateway.dialects import ENDPOINTS, Endpoint, error_body, request_class
from serving.gateway.failures import Refusal, RequestRefused
from serving.gateway.generation import Generation
from serving.gateway.record import RequestRecord
from serving.gateway.reply import Reply
from serving.wire import RequestClass, SamplingSpec, Tokens

BY_PATH = {endpoint.path: endpoint for endpoint in ENDPOINTS}
CHAT, MESSAGES = BY_PATH["/v1/chat/completions"], BY_PATH["/v1/messages"]
RESPONSES = BY_PATH["/v1/responses"]


@pytest.mark.parametrize(
    ("endpoint", "tier", "expected"),
    [
        (CHAT, None, "interactive"),
        (CHAT, "auto", "interactive"),
        (CHAT, "priority", "interactive"),
        (CHAT, "flex", "batch"),
        (MESSAGES, "standard_only", "interactive"),
        (MESSAGES, "batch", "batch"),
        (MESSAGES, "flex", "batch"),
    ],
)
def test_the_tier_asked_for_gives_the_class(
    endpoint: Endpoint, tier: str | None, expected: RequestClass
) -> None:
    assert request_class(endpoint.dialect, tier) == expected


@pytest.mark.parametrize("tier", ["gold", 3, ["flex"]])
def test_another_tier_is_refused(tier: object) -> None:
    refused = request_class("openai", tier)

    assert isinstance(refused, Refusal)
    assert refused.param == "service_tier"


def test_only_a_responses_body_is_changed_and_there_only_the_tier() -> None:
    body = b'{"model": "m", "input": "\\u00e9", "x": 1.50}'

    assert read_call(CHAT, body).body == body
    changed = read_call(RESPONSES, body).body
    assert json.loads(changed) == json.loads(body) | {"service_tier": "default"}
    assert b"1.50" in changed


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b'{"model": "m"', b'"m"', b"\xff{}"])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(RequestRefused) as caught:
        read_call(CHAT, body)

    assert caught.value.refusal.status == 400


def test_a_batch_request_may_choose_its_wait_and_say_when_it_is_due() -> None:
    assert batch_wishes("batch", {}) == BatchWishes()
    headers = {b"x-turntable-wait-s": b"5", b"x-turntable-deadline-s": b"90.5"}
    assert batch_wishes("batch", headers) == BatchWishes(wait_s=5, deadline_s=90.5)
    assert batch_wishes("interactive", headers) == BatchWishes()
    assert batch_wishes("batch", {b"x-turntable-wait-s": b"99999"}).wait_s == MAX_BATCH_WAIT_S


@pytest.mark.parametrize("name", ["x-turntable-wait-s", "x-turntable-deadline-s"])
@pytest.mark.parametrize("bad", [b"soon", b"-1", b"nan"])
def test_a_wish_that_is_no_number_of_seconds_is_refused(name: str, bad: bytes) -> None:
    with pytest.raises(RequestRefused) as caught:
        batch_wishes("batch", {name.encode(): bad})

    assert caught.value.refusal.param == name


def test_one_error_in_both_forms() -> None:
    refusal = Refusal(404, "no such model", "model_not_found", "model")

    assert error_body("openai", refusal) == {
        "error": {
            "message": "no such model",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
    }
    assert error_body("anthropic", refusal) == {
        "type": "error",
        "error": {"type": "not_found_error", "message": "no such model"},
    }


class Wire:
    """Collects what an answer sends."""

    def __init__(self, endpoint: Endpoint, request_class: RequestClass = "batch") -> None:
        self.messages: list[Any] = []
        self.record = RequestRecord("r", "m", request_class, endpoint.path, 60)
        self.reply = Reply(self._send, endpoint, self.record)

    async def _send(self, message: Any) -> None:
        self.messages.append(message)

    async def app_sends(self, content_type: bytes, *bodies: bytes, end: bool = True) -> None:
        headers = [(b"content-type", content_type)]
        await self.reply.send({"type": "http.response.start", "status": 200, "headers": headers})
        for body in bodies:
            await self.reply.send({"type": "http.response.body", "body": body, "more_body": True})
        if end:
            await self.reply.send({"type": "http.response.body", "body": b"", "more_body": False})

    def first_token(self) -> None:
        made = Generation(
            "r", "g", "m", "batch", [1], SamplingSpec(max_tokens=9), 100, streamed=True
        )
        made.accept(Tokens([5]))
        self.record.generations.append(made)

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.messages)

    @property
    def status(self) -> int | None:
        return self.messages[0]["status"] if self.messages else None


async def test_a_stream_is_held_back_until_a_token_exists() -> None:
    wire = Wire(CHAT)
    await wire.app_sends(b"text/event-stream", b'data: {"a":1}\n\n', end=False)
    assert wire.messages == []

    wire.first_token()
    more = {"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": True}
    await wire.reply.send(more)

    assert wire.body == b'data: {"service_tier":"flex","a":1}\n\ndata: [DONE]\n\n'


async def test_a_stream_that_fails_before_its_first_token_becomes_an_error() -> None:
    wire = Wire(CHAT)
    wire.record.refusal = Refusal(503, "none", "no_replica", retry_after_s=7)

    await wire.app_sends(b"text/event-stream", b'data: {"error":{}}\n\n', b"data: [DONE]\n\n")

    assert wire.status == 503
    assert (b"retry-after", b"7") in wire.messages[0]["headers"]
    assert json.loads(wire.body)["error"]["code"] == "no_replica"


async def test_a_stream_that_fails_later_is_left_as_vllm_ends_it() -> None:
    wire = Wire(CHAT)
    wire.first_token()
    wire.record.refusal = Refusal(500, "lost")

    await wire.app_sends(b"text/event-stream", b'data: {"error":{}}\n\n')

    assert wire.status == 200
    assert b"error" in wire.body


async def test_events_that_come_together_are_each_tagged_and_text_is_not() -> None:
    wire = Wire(CHAT, "interactive")
    wire.first_token()
    text = json.dumps({"t": 'data: {"x"\n\ndata: {'}).encode()

    await wire.app_sends(b"text/event-stream", b"data: " + text + b"\n\ndata: {}\n\n")

    events = [line for line in wire.body.split(b"\n\n") if line]
    assert len(events) == 2
    assert json.loads(events[0].removeprefix(b"data: ")) == {
        "service_tier": "default",
        "t": 'data: {"x"\n\ndata: {',
    }


async def test_a_whole_answer_is_tagged_and_its_length_is_right() -> None:
    wire = Wire(CHAT)

    await wire.app_sends(b"application/json", b'{"service_tier":null,', b'"id":"x"}')

    headers = dict(wire.messages[0]["headers"])
    assert json.loads(wire.body) == {"service_tier": "flex", "id": "x"}
    assert int(headers[b"content-length"]) == len(wire.body)
    assert headers[b"x-request-id"] == b"r"


async def test_a_message_is_tagged_in_its_usage() -> None:
    wire = Wire(MESSAGES)

    await wire.app_sends(b"application/json", b'{"usage":{"input_tokens":3}}')

    assert json.loads(wire.body) == {"usage": {"input_tokens": 3, "service_tier": "batch"}}

"""What people read of a batch's records."""

import json
from typing import Any

import msgspec
import pytest

from orchestration.batch.spoken import spoken

NULL = msgspec.Raw(b"null")


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}}]},
        {"choices": [{"index": 0, "text": "Hello"}]},
        {"output": [{"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}]},
        {"error": {"message": "Hello", "type": "invalid_request_error"}},
    ],
    ids=["chat completion", "completion", "response", "error"],
)
def test_the_text_of_every_kind_of_answer_is_found(body: dict[str, Any]) -> None:
    assert spoken(raw({"status_code": 200, "body": body}), NULL) == "Hello"


def test_a_line_that_was_never_asked_says_why() -> None:
    assert spoken(NULL, raw({"code": "batch_expired", "message": "Too late."})) == "Too late."


def test_an_answer_without_text_is_shown_as_it_is() -> None:
    calls = {"choices": [{"message": {"content": None, "tool_calls": [{"id": "call_1"}]}}]}
    assert "call_1" in spoken(raw({"body": calls}), NULL)
    assert spoken(raw({"body": "odd"}), NULL) == '{"body": "odd"}'

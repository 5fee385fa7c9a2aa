"""What a client gets from a real model through the whole data plane."""

import json

import httpx
import openai
import pytest

from tests.end_to_end.pool import REQUEST_LIMIT_S, TEST_LIMIT_S, Pool

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(TEST_LIMIT_S)]

CAPITAL = [{"role": "user", "content": "What is the capital of France?"}]


def test_a_question_gets_a_sensible_answer(pool: Pool) -> None:
    answer = pool.openai.chat.completions.create(
        model="exact", messages=CAPITAL, max_tokens=24, temperature=0
    )
    assert "Paris" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.service_tier == "default"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_says_the_same_as_one_answer(pool: Pool) -> None:
    ask = {"model": "exact", "messages": CAPITAL, "max_tokens": 40, "temperature": 0}
    ask["extra_body"] = {"ignore_eos": True}
    whole = pool.openai.chat.completions.create(**ask).choices[0].message.content
    chunks = list(pool.openai.chat.completions.create(**ask, stream=True))
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(piece or "" for piece in pieces) == whole
    assert len(pieces) > 3


def test_flex_requests_say_that_they_were_flex(pool: Pool) -> None:
    answer = pool.openai.chat.completions.create(
        model="exact", messages=CAPITAL, max_tokens=4, service_tier="flex"
    )
    assert answer.service_tier == "flex"


def test_a_stop_string_ends_the_text_before_it(pool: Pool) -> None:
    ask = {"model": "exact", "prompt": "One, two, three,", "max_tokens": 24, "temperature": 0}
    free = pool.openai.completions.create(**ask).choices[0].text
    stop = free.strip().split()[3]
    stopped = pool.openai.completions.create(**ask, stop=[stop]).choices[0]
    assert stopped.finish_reason == "stop"
    assert stopped.text == free[: free.index(stop)]


def test_logprobs_come_for_every_token(pool: Pool) -> None:
    answer = pool.openai.chat.completions.create(
        model="exact",
        messages=CAPITAL,
        max_tokens=8,
        temperature=0,
        logprobs=True,
        top_logprobs=3,
    )
    entries = answer.choices[0].logprobs.content
    assert len(entries) == answer.usage.completion_tokens
    for entry in entries:
        assert entry.logprob <= 0
        assert len(entry.top_logprobs) == 3
        assert entry.logprob == max(top.logprob for top in entry.top_logprobs)


def test_an_answer_follows_a_json_schema(pool: Pool) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "capital": {"type": "boolean"}},
        "required": ["city", "capital"],
        "additionalProperties": False,
    }
    answer = pool.openai.chat.completions.create(
        model="exact",
        messages=CAPITAL,
        max_tokens=60,
        temperature=0,
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}},
    )
    value = json.loads(answer.choices[0].message.content)
    assert set(value) == {"city", "capital"}


def test_a_named_tool_is_called_with_arguments_of_its_schema(pool: Pool) -> None:
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
        "required": ["city"],
    }
    weather = {"name": "weather", "strict": True, "parameters": parameters}
    answer = pool.openai.chat.completions.create(
        model="exact",
        messages=[{"role": "user", "content": "How warm is it in Paris?"}],
        max_tokens=60,
        temperature=0,
        tools=[{"type": "function", "function": weather}],
        tool_choice={"type": "function", "function": {"name": "weather"}},
    )
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments)["city"] in {"Paris", "Rome"}


def test_every_api_answers(pool: Pool) -> None:
    response = pool.openai.responses.create(
        model="exact", input="What is the capital of France?", max_output_tokens=24, temperature=0
    )
    assert "Paris" in response.output_text
    message = httpx.post(
        f"{pool.url}/v1/messages",
        json={"model": "exact", "max_tokens": 24, "temperature": 0, "messages": CAPITAL},
        timeout=REQUEST_LIMIT_S,
    ).json()
    assert "Paris" in message["content"][0]["text"]
    tokens = httpx.post(
        f"{pool.url}/tokenize",
        json={"model": "exact", "prompt": "One, two"},
        timeout=REQUEST_LIMIT_S,
    ).json()
    assert tokens["count"] == len(tokens["tokens"]) > 0
    assert {model.id for model in pool.openai.models.list()} == {
        "exact",
        "other",
        "asleep-everywhere",
    }


def test_a_model_without_a_replica_is_answered_503_after_a_bounded_wait(pool: Pool) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        pool.openai.chat.completions.create(
            model="asleep-everywhere",
            messages=CAPITAL,
            max_tokens=4,
            stream=True,
            service_tier="flex",
            extra_headers={"x-turntable-wait-s": "1"},
        )
    assert caught.value.status_code == 503
    assert int(caught.value.response.headers["retry-after"]) > 0
    assert "asleep-everywhere" in caught.value.response.json()["error"]["message"]


def test_an_unknown_model_is_404_and_nonsense_is_400(pool: Pool) -> None:
    with pytest.raises(openai.NotFoundError):
        pool.openai.chat.completions.create(model="nobody", messages=CAPITAL)
    with pytest.raises(openai.BadRequestError):
        pool.openai.chat.completions.create(model="exact", messages=CAPITAL, temperature=-1)
    answer = httpx.post(
        f"{pool.url}/v1/chat/completions", content=b"{not json", timeout=REQUEST_LIMIT_S
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]

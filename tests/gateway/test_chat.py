"""Chat completions and completions through the whole gateway, with the OpenAI client."""

from tests.gateway.conftest import EXACT, Stage

ASK = [{"role": "user", "content": "What is the capital of France?"}]
PARIS = "The capital of France is Paris."


def test_an_answer_comes_whole_with_usage_and_tier(stage: Stage) -> None:
    tokens = stage.say(PARIS)

    answer = stage.openai().chat.completions.create(model=EXACT, messages=ASK)

    assert answer.choices[0].message.content == PARIS
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens == len(tokens) + 1
    assert answer.service_tier == "default"


def test_a_streamed_answer_is_the_same_text_and_every_chunk_names_the_tier(stage: Stage) -> None:
    tokens = stage.say(PARIS)

    chunks = list(
        stage.openai().chat.completions.create(
            model=EXACT,
            messages=ASK,
            stream=True,
            service_tier="flex",
            stream_options={"include_usage": True},
        )
    )

    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == PARIS
    assert {chunk.service_tier for chunk in chunks} == {"flex"}
    assert [c.usage for c in chunks if c.usage is not None][-1].completion_tokens == len(tokens) + 1


def test_a_stop_string_ends_the_answer_and_the_work_on_the_host(stage: Stage) -> None:
    stage.say(PARIS, end=False)

    answer = stage.openai().completions.create(
        model=EXACT, prompt="Say", max_tokens=50, stop=["ance is"], stream=False
    )

    assert answer.choices[0].text == "The capital of Fr"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].stop_reason == "ance is"


def test_a_stop_string_that_spans_chunks_never_reaches_a_stream(stage: Stage) -> None:
    stage.say(PARIS, end=False)

    chunks = stage.openai().completions.create(
        model=EXACT, prompt="Say", max_tokens=50, stop=["France is"], stream=True
    )

    assert "".join(c.choices[0].text for c in chunks) == "The capital of "


def test_a_stop_token_is_not_part_of_the_text(stage: Stage) -> None:
    tokens = stage.say(PARIS, end=False)

    answer = stage.openai().completions.create(
        model=EXACT, prompt="Say", max_tokens=50, extra_body={"stop_token_ids": [tokens[4]]}
    )

    assert answer.choices[0].text == stage.tokenizer.decode(tokens[:4])
    assert answer.choices[0].stop_reason == tokens[4]


def test_the_length_limit_is_reported(stage: Stage) -> None:
    stage.say(PARIS)

    answer = stage.openai().chat.completions.create(
        model=EXACT, messages=ASK, max_completion_tokens=3
    )

    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3


def test_several_samples_come_under_their_own_index(stage: Stage) -> None:
    tokens = stage.say(PARIS)

    whole = stage.openai().chat.completions.create(model=EXACT, messages=ASK, n=2)
    chunks = stage.openai().chat.completions.create(
        model=EXACT, messages=ASK, n=2, stream=True, seed=3
    )
    streamed = ["", ""]
    for chunk in chunks:
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""

    assert [choice.message.content for choice in whole.choices] == [PARIS, PARIS]
    assert whole.usage.completion_tokens == 2 * (len(tokens) + 1)
    assert streamed == [PARIS, PARIS]


def test_logprobs_stand_beside_their_tokens(stage: Stage) -> None:
    tokens = stage.say(PARIS, end=False)

    answer = stage.openai().chat.completions.create(
        model=EXACT, messages=ASK, logprobs=True, top_logprobs=2, max_completion_tokens=len(tokens)
    )

    content = answer.choices[0].logprobs.content
    assert [entry.token for entry in content] == [stage.tokenizer.decode([t]) for t in tokens]
    assert all(len(entry.top_logprobs) == 2 for entry in content)
    assert all(entry.top_logprobs[0].token == entry.token for entry in content)
    assert content[0].logprob == content[0].top_logprobs[0].logprob


def test_prompt_logprobs_and_echo_cover_every_prompt_token(stage: Stage) -> None:
    stage.say(PARIS, end=False)

    answer = stage.openai().completions.create(
        model=EXACT, prompt="One two three", max_tokens=2, echo=True, logprobs=1
    )

    prompt = stage.tokenizer.encode("One two three")
    assert answer.choices[0].text.startswith("One two three")
    assert len(answer.choices[0].logprobs.token_logprobs) == len(prompt) + 2
    assert answer.choices[0].logprobs.token_logprobs[0] is None


def test_two_prompts_in_one_request_are_answered_in_order(stage: Stage) -> None:
    first, second = (stage.tokenizer.encode(text) for text in ("One", "Two"))
    scripts = {tuple(first): "uno", tuple(second): "dos"}
    stage.answer(lambda r: stage.tokenizer.encode(scripts[tuple(r.prompt_token_ids)]))

    answer = stage.openai().completions.create(model=EXACT, prompt=["One", "Two"], max_tokens=9)

    assert [choice.text for choice in answer.choices] == ["uno", "dos"]


def test_a_tool_call_is_parsed_from_the_text(stage: Stage) -> None:
    stage.say('<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>')
    tool = {"name": "weather", "parameters": {"type": "object", "properties": {}}}

    answer = stage.openai().chat.completions.create(
        model=EXACT,
        messages=ASK,
        tools=[{"type": "function", "function": tool}],
        tool_choice="auto",
    )

    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.tool_calls[0].function.arguments == '{"city": "Paris"}'


def test_a_json_schema_reaches_the_host_and_forbids_eviction(stage: Stage) -> None:
    seen = []
    script = stage.tokenizer.encode('{"a": 1}')
    stage.answer(lambda request: seen.append(request) or script)
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}

    stage.openai().chat.completions.create(
        model=EXACT,
        messages=ASK,
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}},
    )

    assert '"integer"' in seen[0].sampling.structured.json
    assert not seen[0].evictable


def test_a_request_id_is_honoured_and_returned(stage: Stage) -> None:
    stage.say(PARIS)

    raw = stage.openai().chat.completions.with_raw_response.create(
        model=EXACT, messages=ASK, extra_headers={"x-request-id": "mine-1"}
    )

    assert raw.headers["x-request-id"] == "mine-1"
    assert raw.parse().id == "chatcmpl-mine-1"
    assert stage.ended(1)[0].request_id == "mine-1"

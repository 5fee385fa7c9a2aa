"""Responses, messages, tokenization and the list of models, with the unchanged clients."""

from tests.fakes.host import wait_until
from tests.gateway.conftest import ABSENT, EXACT, Stage

ASK = [{"role": "user", "content": "What is the capital of France?"}]
PARIS = "The capital of France is Paris."


def test_responses_whole_and_streamed_say_the_tier(stage: Stage) -> None:
    stage.say(PARIS)

    whole = stage.openai().responses.create(model=EXACT, input="Capital?", service_tier="flex")
    events = list(stage.openai().responses.create(model=EXACT, input="Capital?", stream=True))

    assert (whole.output_text, whole.service_tier) == (PARIS, "flex")
    assert events[-1].type == "response.completed"
    assert events[-1].response.service_tier == "default"
    assert events[-1].response.output_text == PARIS


def test_messages_whole_and_streamed_say_the_tier_in_their_usage(stage: Stage) -> None:
    stage.say(PARIS)
    client = stage.anthropic()

    whole = client.messages.create(model=EXACT, max_tokens=50, messages=ASK)
    with client.messages.stream(
        model=EXACT, max_tokens=50, messages=ASK, extra_body={"service_tier": "batch"}
    ) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()

    assert (whole.content[0].text, whole.usage.service_tier) == (PARIS, "standard")
    assert whole.stop_reason == "end_turn"
    assert text == PARIS
    assert final.usage.service_tier == "batch"
    assert [event.request_class for event in stage.ended(2)] == ["interactive", "batch"]


def test_tokens_are_counted_without_a_replica(stage: Stage) -> None:
    counted = stage.anthropic().messages.count_tokens(model=ABSENT, messages=ASK)
    tokenized = stage.http.post("/tokenize", json={"model": ABSENT, "prompt": "Hello"})

    assert counted.input_tokens > 5
    assert tokenized.json()["tokens"] == stage.tokenizer.encode("Hello")
    assert stage.events("request_arrivals") == []


def test_every_registered_model_is_listed_in_both_forms(stage: Stage) -> None:
    assert [m.id for m in stage.openai().models.list()] == [EXACT, ABSENT]
    assert stage.openai().models.retrieve(ABSENT).owned_by == "turntable"
    assert [m.id for m in stage.anthropic().models.list()] == [EXACT, ABSENT]


def test_the_fleet_shows_hosts_and_models(stage: Stage) -> None:
    fleet = stage.fleet()

    assert [(h["host"], h["awake_model"], h["reachable"]) for h in fleet["hosts"]] == [
        ("host-0", EXACT, True),
        ("host-1", EXACT, True),
    ]
    assert fleet["models"][0]["replicas"] == ["host-0", "host-1"]
    assert fleet["models"][1]["waiting"] == {"interactive": 0, "batch": 0}


def test_metrics_count_requests_and_replicas(stage: Stage) -> None:
    stage.say(PARIS)
    stage.openai().chat.completions.create(model=EXACT, messages=ASK)
    stage.ended(1)

    page = stage.http.get("/metrics").text

    assert 'turntable_gateway_replicas{model="exact"} 2.0' in page
    assert 'turntable_gateway_requests_total{endpoint="/v1/chat/completions"' in page


def test_metrics_tell_the_gaps_between_tokens(stage: Stage) -> None:
    def gaps() -> float:
        page = stage.http.get("/metrics").text
        start = "turntable_gateway_token_gap_seconds_count"
        return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith(start))

    before = gaps()
    stage.say(PARIS)
    stage.openai().chat.completions.create(model=EXACT, messages=ASK)
    (ended,) = stage.ended(1)

    wait_until(lambda: gaps() > before)
    assert gaps() - before <= ended.output_tokens - 1
    assert ended.longest_gap_s is not None
    assert ended.longest_gap_s <= ended.total_s

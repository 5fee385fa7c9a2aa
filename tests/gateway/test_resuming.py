"""A generation survives what happens to its host; its client notices nothing but time."""

import json
import threading
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any

import openai
import pytest

from serving.wire import GenerateRequest
from tests.fakes.host import wait_until
from tests.gateway.conftest import ABSENT, EXACT, Stage

TEXT = "The quick brown fox jumps over the lazy dog and runs far away into the deep woods."


PATIENT = {"model": ABSENT, "prompt": "Tell", "service_tier": "flex"}


def sent(
    stage: Stage, body: dict[str, Any], headers: dict[str, str] | None = None
) -> HTTPConnection:
    """A connection on which a completion was asked for."""
    connection = HTTPConnection("127.0.0.1", stage.gateway.fleet.gateway.port, timeout=180)
    sent_headers = {"content-type": "application/json", **(headers or {})}
    connection.request("POST", "/v1/completions", json.dumps(body), sent_headers)
    return connection


class Streaming:
    """A completion being streamed by a client in a thread."""

    def __init__(self, stage: Stage, **options: Any) -> None:
        self.text, self.error, self.chunks = "", None, []
        self._client = stage.openai()
        self._options = {"model": EXACT, "prompt": "Tell", "max_tokens": 60} | options
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for chunk in self._client.completions.create(
                stream=True, stream_options={"include_usage": True}, **self._options
            ):
                self.chunks.append(chunk)
                self.text += "".join(choice.text for choice in chunk.choices)
        except openai.APIError as error:
            self.error = error

    def end(self) -> str:
        self._thread.join(120)
        assert not self._thread.is_alive(), "the stream did not end"
        return self.text

    @property
    def usage(self) -> Any:
        return [chunk.usage for chunk in self.chunks if chunk.usage is not None][-1]


def half_way(stage: Stage, **options: Any) -> tuple[Streaming, str]:
    """A stream whose client has some of TEXT, and its host; no token moves any more."""
    stage.gates("close")
    stage.gates("let", 6)
    stream = Streaming(stage, **options)
    wait_until(lambda: len(stream.text) > 10)
    return stream, stage.serving_host()


def kill(stage: Stage, host: str) -> None:
    stage.hosts[host].kill()


def hotswap(stage: Stage, host: str) -> None:
    stage.swap(host, ABSENT)


def shut_down(stage: Stage, host: str) -> None:
    stage.hosts[host].stop()


def hang(stage: Stage, host: str) -> None:
    """Its engine does, and the host counts the time that it gives an engine."""
    stage.hosts[host].engines.hang(EXACT)
    stage.hosts[host].let_pass(stage.hosts[host].fleet.host(host).hung_after_s + 10.0)


@pytest.mark.parametrize("disturb", [kill, hotswap, shut_down, hang])
def test_a_stream_goes_on_elsewhere(stage: Stage, disturb: Callable[[Stage, str], None]) -> None:
    tokens = stage.say(TEXT)
    stream, host = half_way(stage, temperature=0)

    disturb(stage, host)
    stage.gates("open")

    assert stream.end() == TEXT
    assert stream.usage.completion_tokens == len(tokens) + 1
    ended = stage.ended(1)[0]
    assert ended.outcome == "completed"
    assert ended.attempts == 2
    assert len(ended.hosts) == 2
    assert ended.output_tokens == len(tokens) + 1


def test_a_resumed_attempt_carries_the_tokens_and_not_the_prompt_alone(stage: Stage) -> None:
    tokens = stage.tokenizer.encode(TEXT)
    seen: list[GenerateRequest] = []
    stage.answer(lambda request: seen.append(request) or tokens)
    stream, host = half_way(stage, temperature=0)

    kill(stage, host)
    stage.gates("open")
    stream.end()

    first, second = seen
    assert first.resumed_token_ids == []
    assert second.resumed_token_ids == tokens[: len(second.resumed_token_ids)] != []
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.sampling.max_tokens == second.sampling.max_tokens


def test_an_evicted_batch_stream_gives_the_same_text(stage: Stage) -> None:
    stage.say(TEXT)
    stage.gates("close")
    batch = [
        Streaming(stage, extra_body={"service_tier": "flex"}, prompt=f"Tell {i}") for i in range(8)
    ]
    wait_until(lambda: all(stage.running_on(name) == 4 for name in stage.hosts))
    stage.gates("let", 8)
    wait_until(lambda: sum(len(stream.text) for stream in batch) > 20)
    before = len(evictions(stage))

    chat = [Streaming(stage, prompt=f"Hello {i}") for i in range(2)]
    wait_until(lambda: len(evictions(stage)) >= before + 2)
    stage.gates("open")

    assert {stream.end() for stream in [*chat, *batch]} == {TEXT}
    ended = stage.ended(10)
    assert sum(e.evictions for e in ended if e.request_class == "batch") >= 2
    assert sum(e.evictions for e in ended if e.request_class == "interactive") == 0


def test_a_held_batch_stream_goes_on_where_another_host_has_a_free_slot(stage: Stage) -> None:
    seen: list[GenerateRequest] = []
    script = [*stage.tokenizer.encode(TEXT), stage.tokenizer.eos_token_id]
    stage.answer(lambda request: seen.append(request) or script)
    stage.gates("close")
    batch = [
        Streaming(stage, extra_body={"service_tier": "flex"}, prompt=f"Tell {i}") for i in range(4)
    ]
    wait_until(lambda: all(stage.running_on(name) == 2 for name in stage.hosts))
    stage.gates("let", 8)
    wait_until(lambda: all(stream.text for stream in batch))

    chat = Streaming(stage, prompt="Hello")
    wait_until(lambda: any(request.attempt == 2 for request in seen))
    stage.gates("open")

    assert {stream.end() for stream in [chat, *batch]} == {TEXT}
    moved = [event for event in stage.ended(5) if event.attempts == 2]
    assert moved
    for event in moved:
        assert (event.request_class, len(event.hosts), event.evictions) == ("batch", 2, 1)
        assert event.held_s > 0
        assert event.recomputed_tokens > 0


def test_a_stop_string_across_the_boundary_of_a_resume_is_found(stage: Stage) -> None:
    stage.say(TEXT, end=False)
    tokens = stage.tokenizer.encode(TEXT)
    stop = "fox jumps over the"
    stage.gates("close")
    stage.gates("let", 4)
    stream = Streaming(stage, temperature=0, stop=[stop], max_tokens=len(tokens))
    host = stage.serving_host()
    wait_until(lambda: stage.counts("running")["interactive"] == 1)

    kill(stage, host)
    stage.gates("open")

    assert stream.end() == "The quick brown "


def test_logprobs_stay_beside_their_tokens_across_a_resume(stage: Stage) -> None:
    tokens = stage.say(TEXT, end=False)
    stream, host = half_way(stage, temperature=0, logprobs=1, max_tokens=len(tokens))

    kill(stage, host)
    stage.gates("open")
    stream.end()

    spoken = [t for c in stream.chunks for choice in c.choices for t in choice.logprobs.tokens]
    assert "".join(spoken) == stream.text == TEXT


def test_the_last_replica_may_come_back(stage: Stage) -> None:
    stage.say(TEXT)
    hotswap(stage, "host-1")
    wait_until(lambda: stage.replicas(EXACT) == ["host-0"])
    stream, host = half_way(stage, temperature=0)

    kill(stage, host)
    wait_until(lambda: stage.counts("waiting")["interactive"] == 1)
    stage.hosts[host].restart()
    stage.say(TEXT)
    stage.gates("open")

    assert stream.end() == TEXT


@pytest.mark.parametrize("back", ["host-0", "host-1"])
@pytest.mark.parametrize("tier", ["default", "flex"])
def test_handed_back_by_the_last_replica_a_stream_waits_for_the_next_one(
    stage: Stage, back: str, tier: str
) -> None:
    """Whichever host it is: the one that handed it back, or another."""
    tokens = stage.say(TEXT)
    hotswap(stage, "host-1")
    wait_until(lambda: stage.replicas(EXACT) == ["host-0"])
    request_class = "batch" if tier == "flex" else "interactive"
    stream, host = half_way(stage, temperature=0, extra_body={"service_tier": tier})
    assert host == "host-0"

    hotswap(stage, "host-0")
    wait_until(lambda: stage.counts("waiting")[request_class] == 1)
    assert stage.replicas(EXACT) == []
    stage.gates("open")
    stage.swap(back, EXACT)

    assert stream.end() == TEXT
    ended = stage.ended(1)[0]
    assert (ended.outcome, ended.hosts[-1], ended.attempts) == ("completed", back, 2)
    assert ended.output_tokens == len(tokens) + 1, "each token counts once"


def test_an_unstreamed_generation_that_cannot_be_resumed_starts_over(stage: Stage) -> None:
    seen: list[GenerateRequest] = []
    scripts = [stage.tokenizer.encode(text) for text in ("first words", "other words altogether")]
    stage.answer(lambda request: seen.append(request) or scripts[len(seen) - 1])
    stage.gates("close")
    stage.gates("let", 1)
    answers: list[Any] = []
    body = {"model": EXACT, "prompt": "Tell", "seed": 1, "temperature": 1.0, "max_tokens": 20}
    asking = threading.Thread(
        target=lambda: answers.append(stage.http.post("/v1/completions", json=body).json())
    )
    asking.start()
    host = stage.serving_host()
    wait_until(lambda: stage.counts("running")["interactive"] == 1)

    kill(stage, host)
    stage.gates("open")
    asking.join(120)

    assert answers[0]["choices"][0]["text"] == "other words altogether"
    assert answers[0]["usage"]["completion_tokens"] == len(scripts[1])
    assert seen[1].resumed_token_ids == []


def test_a_stream_that_cannot_be_resumed_is_replayed_unseen(stage: Stage) -> None:
    tokens = stage.say(TEXT)
    stream, host = half_way(stage, presence_penalty=0.5)

    kill(stage, host)
    stage.gates("open")

    assert stream.end() == TEXT
    assert stream.usage.completion_tokens == len(tokens) + 1


def test_a_replay_that_takes_another_turn_fails_and_says_why(stage: Stage) -> None:
    stage.say(TEXT)
    stream, host = half_way(stage, presence_penalty=0.5)
    wait_until(lambda: "fox" in stream.text)

    stage.say("The quick brown dog is something else")
    kill(stage, host)
    stage.gates("open")

    assert TEXT.startswith(stream.end())
    assert "presence_penalty" in str(stream.error)
    assert stage.ended(1)[0].outcome == "failed"


def test_a_client_that_leaves_frees_its_slot_and_is_recorded_once(stage: Stage) -> None:
    stage.say(TEXT)
    stage.gates("close")
    stage.gates("let", 3)
    body = {"model": EXACT, "prompt": "Tell", "stream": True}
    with stage.http.stream("POST", "/v1/completions", json=body) as answer:
        lines = answer.iter_lines()
        next(lines)
        stage.serving_host()

    wait_until(lambda: not any(stage.running_on(name) for name in stage.hosts))
    assert [event.outcome for event in stage.ended(1)] == ["cancelled"]
    assert stage.counts("running") == {"interactive": 0, "batch": 0}


def test_a_client_that_leaves_an_unstreamed_request_frees_its_slot_too(stage: Stage) -> None:
    stage.say(TEXT)
    stage.gates("close")
    client = sent(stage, {"model": EXACT, "prompt": "Tell"})
    stage.serving_host()

    client.close()

    wait_until(lambda: not any(stage.running_on(name) for name in stage.hosts))
    assert [event.outcome for event in stage.ended(1)] == ["cancelled"]


def test_a_client_that_leaves_while_it_waits_for_a_replica_waits_no_more(stage: Stage) -> None:
    client = sent(stage, PATIENT, {"x-turntable-wait-s": "600"})
    wait_until(lambda: stage.counts("waiting", ABSENT)["batch"] == 1)

    client.close()

    assert [event.outcome for event in stage.ended(1)] == ["cancelled"]
    assert stage.counts("waiting", ABSENT)["batch"] == 0


def test_a_batch_client_may_choose_to_wait_longer_than_others(hasty: Stage) -> None:
    hasty.say(TEXT)
    client = sent(hasty, PATIENT, {"x-turntable-wait-s": "600"})
    wait_until(lambda: hasty.counts("waiting", ABSENT)["batch"] == 1)
    interactive = hasty.http.post("/v1/completions", json={"model": ABSENT, "prompt": "Hi"})
    assert interactive.status_code == 503
    assert hasty.counts("waiting", ABSENT)["batch"] == 1

    hasty.swap("host-1", ABSENT)

    assert client.getresponse().status == 200


def test_a_request_waits_for_the_replica_that_is_swapped_in(stage: Stage) -> None:
    stage.say(TEXT)
    stream = Streaming(stage, model=ABSENT)
    wait_until(lambda: stage.counts("waiting", ABSENT)["interactive"] == 1)

    stage.swap("host-1", ABSENT)

    assert stream.end() == TEXT
    samples = [e for e in stage.events("gateway_samples") if e.model == ABSENT]
    assert 1 in {sample.waiting for sample in samples}
    assert [e.model for e in stage.events("request_arrivals")] == [ABSENT]


def evictions(stage: Stage) -> list[Any]:
    """Evictions that the hosts recorded, in earlier tests too."""
    return [
        event
        for host in stage.hosts.values()
        for event in host.sink.events
        if getattr(event, "table", "") == "evictions" and event.reason == "evicted"
    ]

"""A real engine host over real vLLM engines on the packaged model."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tokenizers import Tokenizer

from serving.engine.memory import proportional_bytes
from serving.weights import checkpoint_path
from serving.weights.locks import try_exclusive
from serving.wire import Failed, Finished, Frame, Held, Released, Tokens
from tests.fakes.generate import Reader, generate_request
from tests.fakes.host import wait_until
from tests.fakes.real_host import START_LIMIT_S, STOP_LIMIT_S, RealHost, real_host

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

MIB = 1024**2
PROMPT = [504, 3575, 282, 4649, 314]  # "The capital of France is"
ENDLESS_TOKENS = 1000
"""It goes on until it is cut off: many times longer than anything that it is to outlast."""
ROUNDS = 10
"""However many tokens: whoever is held up for long enough finds it ended, and tries again."""
LIMITS = {
    "max_model_len": 1024,
    "kv_cache_gib": 0.5,
    "slots": 2,
    "interactive_cap": 1,
    # No engine is that fast: the cap stays where it begins.
    "service_levels": {"tpot_s": 0.001},
}
MODELS = [
    {"name": "exact", "dtype": "float32", **LIMITS},
    {"name": "half", "dtype": "bfloat16", **LIMITS},
]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHost]:
    # The budget holds the smaller model asleep, and the larger one only parked.
    folder = tmp_path_factory.mktemp("host")
    with real_host(folder, MODELS, starts_with="exact", host_memory_gib=0.7) as running:
        running.until_ready()
        yield running


@pytest.fixture
def exact(host: RealHost) -> RealHost:
    host.until_ready()
    if host.state().awake_model != "exact":
        assert host.swap("exact").outcome == "committed"
    return host


def read(host: RealHost, request_id: str, model: str = "exact", **fields: object) -> Reader:
    fields.setdefault("prompt", PROMPT)
    return Reader(host.url, host.token, generate_request(request_id, model, **fields))  # type: ignore[arg-type]


def test_a_generation_streams_tokens_to_its_end(exact: RealHost) -> None:
    reader = read(exact, "r", max_tokens=12)
    assert reader.end() == Finished("length")
    assert len(reader.tokens) == 12
    assert len([frame for frame in reader.frames if isinstance(frame, Tokens)]) > 1


def test_sleep_gives_the_memory_of_the_cache_back_and_a_round_trip_gives_the_same_tokens(
    exact: RealHost,
) -> None:
    before = read(exact, "before", max_tokens=32)
    before.end()
    (engine,) = [exact.engines()[0]]
    awake_bytes = proportional_bytes(engine.pid)
    assert exact.swap("half").outcome == "committed"
    asleep_bytes = proportional_bytes(engine.pid)
    assert awake_bytes - asleep_bytes > 0.4 * 1024 * MIB, "the cache of 0.5 GiB was not freed"
    wait_until(lambda: exact.state().tiers["exact"] == "parked")
    parked_bytes = proportional_bytes(engine.pid)
    assert asleep_bytes - parked_bytes > 400 * MIB, "float32 weights of 540 MB were not dropped"
    report = exact.swap("exact")
    assert (report.outcome, report.from_tier) == ("committed", "parked")
    after = read(exact, "after", max_tokens=32)
    after.end()
    assert after.tokens == before.tokens
    assert exact.state().tiers["half"] == "asleep"


def test_a_host_holds_the_checkpoint_of_its_engines(exact: RealHost) -> None:
    folder = checkpoint_path(exact.fleet.model("exact"), exact.state_folder)
    with try_exclusive(folder.parent / ".store" / "leases" / folder.name) as free:
        assert not free


def cut_off(reader: Reader) -> list[int]:
    """Hang up, unless it has ended meanwhile; the tokens that came."""
    with contextlib.suppress(OSError):
        reader.hang_up()
    return reader.tokens


def test_a_held_generation_goes_on_where_it_was(exact: RealHost) -> None:
    for number in range(ROUNDS):
        batch = read(exact, f"b{number}", max_tokens=ENDLESS_TOKENS, request_class="batch")
        batch.until(lambda r: len(r.tokens) >= 10)
        read(exact, f"i{number}", max_tokens=4).end()
        batch.until(lambda r: Released() in r.frames or r.ended)
        if Released() in batch.frames:
            break
    batch.until(lambda r: isinstance(r.frames[-1], Tokens | Finished))
    tokens = cut_off(batch)
    assert [f for f in batch.frames if isinstance(f, Held | Released)] == [Held(), Released()]
    undisturbed = read(exact, "u", max_tokens=len(tokens))
    undisturbed.end()
    assert tokens == undisturbed.tokens


def test_a_generation_cut_off_resumes_to_the_same_tokens(exact: RealHost) -> None:
    undisturbed = read(exact, "u", max_tokens=100)
    undisturbed.end()
    cut = read(exact, "b", max_tokens=ENDLESS_TOKENS, request_class="batch")
    first = cut_off(cut.until(lambda r: len(r.tokens) >= 10))[:10]
    resumed = read(exact, "b", max_tokens=100, request_class="batch", resumed_token_ids=first)
    assert resumed.end() == Finished("length")
    assert first + resumed.tokens == undisturbed.tokens


def test_an_idle_engine_holds_little_beyond_its_weights(exact: RealHost) -> None:
    if exact.state().tiers["half"] != "asleep":
        assert exact.swap("half").outcome == "committed"
        assert exact.swap("exact").outcome == "committed"
    folder = checkpoint_path(exact.fleet.model("half"), exact.state_folder)
    weights_bytes = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    half = exact.engines()[1]
    # It varies by what else shares the warm process; a further copy of the embedding is 57 MB.
    assert proportional_bytes(half.pid) - weights_bytes < 380e6


def test_logprobs_come_with_every_token_and_with_the_prompt(exact: RealHost) -> None:
    reader = read(exact, "r", max_tokens=6, sampling={"logprobs": 2, "prompt_logprobs": 1})
    reader.end()
    frames = [frame for frame in reader.frames if isinstance(frame, Tokens)]
    for frame in frames:
        assert frame.logprobs is not None
        for token, position in zip(frame.token_ids, frame.logprobs, strict=True):
            assert position.token_ids[0] == token
            assert position.rank == 1, "greedy takes the most likely"
            assert position.logprobs == sorted(position.logprobs, reverse=True)
    prompt = frames[0].prompt_logprobs
    assert prompt is not None
    assert prompt[0] is None
    assert [p.token_ids[0] for p in prompt[1:] if p is not None] == PROMPT[1:]


def test_structured_output_follows_its_grammar(exact: RealHost) -> None:
    structured = {"structured": {"regex": "(yes|no), [0-9]{3}"}, "ignore_eos": False}
    reader = read(exact, "r", max_tokens=40, sampling=structured)
    assert reader.end() == Finished("stop")
    folder = checkpoint_path(exact.fleet.model("exact"), exact.state_folder)
    text = Tokenizer.from_file(str(folder / "tokenizer.json")).decode(reader.tokens)
    word, number = text.split(", ")
    assert word in ("yes", "no")
    assert len(number) == 3


def test_a_request_longer_than_the_context_is_refused_for_good(exact: RealHost) -> None:
    frame = read(exact, "r", prompt=[5] * 2000).end()
    assert isinstance(frame, Failed)
    assert not frame.retryable


def last_frame_of_one_whose_engine_is_killed(host: RealHost, request_id: str) -> Frame:
    """It may have ended just before. The host serves again."""
    before = host.engines()
    reader = read(host, request_id, max_tokens=ENDLESS_TOKENS)
    reader.until(lambda r: len(r.tokens) >= 5)
    before[0].kill()
    frame = reader.end()
    # The stream may end a moment before the host has noticed; a new engine says that it has.
    wait_until(lambda: bool(set(host.engines()) - set(before)), limit_s=START_LIMIT_S)
    host.until_ready()
    return frame


def test_an_engine_that_is_killed_fails_its_work_retryably_and_comes_back(
    exact: RealHost,
) -> None:
    for number in range(ROUNDS):
        frame = last_frame_of_one_whose_engine_is_killed(exact, f"r{number}")
        if isinstance(frame, Failed):
            break
    assert isinstance(frame, Failed)
    assert frame.retryable
    assert read(exact, "again").end() == Finished("length")


def main_process(host: RealHost) -> psutil.Process:
    return host.processes()[0]


@pytest.mark.parametrize("victim", [main_process, RealHost.warm_process, RealHost.host_process])
def test_no_process_is_left_when_one_of_the_host_is_killed(
    tmp_path: Path, victim: Callable[[RealHost], psutil.Process]
) -> None:
    with real_host(tmp_path, MODELS, starts_with="half") as host:
        wait_until(lambda: bool(host.engines()), limit_s=START_LIMIT_S)
        victim(host).kill()
        host.process.wait(STOP_LIMIT_S)
        wait_until(host.ended)
        assert host.process.returncode != 0

"""The resume rule, and the record it works on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.gateway.failures import ReplayDiverged
from serving.gateway.generation import Generation
from serving.gateway.resume import boundary_parameters, continuation
from serving.wire import Finished, SamplingSpec, StructuredSpec, Tokens

EOS = 2

RESUMABLE = {
    "greedy": SamplingSpec(max_tokens=50, temperature=0.0),
    "unseeded": SamplingSpec(max_tokens=50, temperature=0.8, top_p=0.9, top_k=40, min_p=0.1),
    "greedy with a seed": SamplingSpec(max_tokens=50, temperature=0.0, seed=1),
    "repetition penalty": SamplingSpec(max_tokens=50, repetition_penalty=1.2),
    "logit bias": SamplingSpec(max_tokens=50, logit_bias={1: 2.0}),
    "logprobs": SamplingSpec(max_tokens=50, logprobs=3, prompt_logprobs=1),
    "min_tokens": SamplingSpec(max_tokens=50, min_tokens=9, stop_token_ids=[7]),
}
NOT_RESUMABLE = {
    "presence_penalty": SamplingSpec(max_tokens=50, presence_penalty=0.1),
    "frequency_penalty": SamplingSpec(max_tokens=50, frequency_penalty=-0.1),
    "seed": SamplingSpec(max_tokens=50, seed=1),
    "structured output": SamplingSpec(max_tokens=50, structured=StructuredSpec(regex="a+")),
    "bad_words": SamplingSpec(max_tokens=50, bad_words=["no"]),
}


def after(sampling: SamplingSpec, held: list[int], *, streamed: bool = True):
    return continuation(sampling, prompt_tokens=5, kept=held, streamed=streamed, max_model_len=100)


def generation(sampling: SamplingSpec, *, streamed: bool = True) -> Generation:
    return Generation(
        "r", "g", "m", "batch", [1, 2, 3], sampling, max_model_len=100, streamed=streamed
    )


@pytest.mark.parametrize("sampling", RESUMABLE.values(), ids=RESUMABLE)
def test_these_are_resumed(sampling: SamplingSpec) -> None:
    assert boundary_parameters(sampling) == ()
    assert after(sampling, [10, 11]).kind == "resume"


@pytest.mark.parametrize("name", NOT_RESUMABLE)
def test_these_are_replayed_if_streamed_and_started_over_if_not(name: str) -> None:
    assert boundary_parameters(NOT_RESUMABLE[name]) == (name,)
    assert after(NOT_RESUMABLE[name], [10, 11]).kind == "replay"
    assert after(NOT_RESUMABLE[name], [10, 11], streamed=False).kind == "start_over"


@pytest.mark.parametrize("sampling", [*RESUMABLE.values(), *NOT_RESUMABLE.values()])
def test_without_tokens_everything_just_starts(sampling: SamplingSpec) -> None:
    assert after(sampling, []).kind == "start"


def test_a_generation_whose_host_died_after_its_last_token_is_finished() -> None:
    spec = SamplingSpec(max_tokens=3, eos_token_id=EOS, stop_token_ids=[7])

    assert after(spec, [10, 11, 12]).end == Finished("length")
    assert after(spec, [10, EOS]).end == Finished("stop")
    assert after(spec, [10, 7]).end == Finished("stop", 7)
    assert after(SamplingSpec(max_tokens=200), list(range(3, 98))).end == Finished("length")
    assert after(SamplingSpec(max_tokens=9, eos_token_id=EOS, ignore_eos=True), [EOS]).end is None


def test_only_resumable_generations_may_be_evicted() -> None:
    resumable, other = generation(RESUMABLE["greedy"]), generation(NOT_RESUMABLE["seed"])

    assert resumable.begin_attempt(resumable.next_step(), "h").evictable
    assert not other.begin_attempt(other.next_step(), "h").evictable


def test_prompt_logprobs_are_asked_for_until_they_came() -> None:
    made = generation(SamplingSpec(max_tokens=50, temperature=0.0, prompt_logprobs=1))

    first = made.begin_attempt(made.next_step(), "a")
    second = made.begin_attempt(made.next_step(), "b")
    made.accept(Tokens([5], prompt_logprobs=[None]))
    third = made.begin_attempt(made.next_step(), "c")

    wanted = [request.sampling.prompt_logprobs for request in (first, second, third)]
    assert wanted == [1, 1, None]
    assert third.resumed_token_ids == [5]


def test_prompt_logprobs_are_asked_for_again_when_starting_over() -> None:
    made = generation(SamplingSpec(max_tokens=50, seed=1, prompt_logprobs=1), streamed=False)
    made.begin_attempt(made.next_step(), "a")
    made.accept(Tokens([5], prompt_logprobs=[None]))

    again = made.begin_attempt(made.next_step(), "b")

    assert again.sampling.prompt_logprobs == 1
    assert made.token_ids == []


def test_recomputed_tokens_are_what_a_resume_did_not_find_cached() -> None:
    made = generation(RESUMABLE["greedy"])
    made.begin_attempt(made.next_step(), "a")
    made.accept(Tokens([5, 6], cached_tokens=1))
    made.begin_attempt(made.next_step(), "b")
    made.accept(Tokens([7], cached_tokens=2))

    assert (made.cached_tokens, made.recomputed_tokens) == (1, 3)


def test_what_a_resume_finds_cached_is_not_told_to_the_client() -> None:
    made = generation(RESUMABLE["greedy"])
    made.begin_attempt(made.next_step(), "a")
    first = made.accept(Tokens([5, 6], cached_tokens=1))
    made.begin_attempt(made.next_step(), "b")
    again = made.accept(Tokens([7], cached_tokens=4))

    assert (first.cached_tokens, again.cached_tokens) == (1, 1)
    assert (made.saved_tokens, made.recomputed_tokens) == (4, 1)


def test_gaps_between_tokens_are_counted_and_not_the_wait_for_the_first() -> None:
    made = generation(RESUMABLE["greedy"])
    made.begin_attempt(made.next_step(), "a")
    made.accept(Tokens([5]))
    assert made.gaps.longest_s is None

    made.accept(Tokens([6]))
    made.accept(Tokens([7, 8]))

    assert sum(made.gaps.counts) == 2
    assert made.gaps.longest_s is not None
    assert made.gaps.longest_s <= made.gaps.sum_s


@st.composite
def broken_runs(draw: st.DrawFn) -> tuple[list[int], list[list[int]]]:
    """A whole output, and for each attempt the sizes of the portions that came before it broke."""
    output = draw(st.lists(st.integers(10, 99), min_size=1, max_size=30))
    sizes = st.lists(st.integers(1, 5), max_size=8)
    return output, draw(st.lists(sizes, min_size=1, max_size=6))


@given(broken_runs(), st.sampled_from(["greedy", "seed"]), st.booleans())
def test_however_attempts_break_a_client_sees_every_token_once(run, rule, streamed) -> None:
    output, attempts = run
    sampling = {**RESUMABLE, **NOT_RESUMABLE}[rule]
    made = generation(sampling, streamed=streamed)
    seen: list[int] = []
    for portions in [*attempts, [len(output)]]:
        step = made.next_step()
        if step.kind == "start_over":
            seen.clear()
        position = len(made.begin_attempt(step, "h").resumed_token_ids)
        for size in portions:
            portion = output[position : position + size]
            position += size
            seen += made.accept(Tokens(portion)).token_ids

    assert seen == output == made.token_ids


def test_a_replay_that_differs_is_noticed_at_the_first_token() -> None:
    made = generation(NOT_RESUMABLE["seed"])
    made.begin_attempt(made.next_step(), "a")
    made.accept(Tokens([5, 6, 7]))
    made.begin_attempt(made.next_step(), "b")

    assert made.accept(Tokens([5])).token_ids == []
    with pytest.raises(ReplayDiverged):
        made.accept(Tokens([9, 7]))

"""The modelled engine against arithmetic done by hand, and its conservation laws."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.engine import NEVER, Engine, Request
from simulation.service import ServiceModel

SERVICE = ServiceModel(step_s=0.01, token_s=0.002, prefill_token_s=0.001, chunk_tokens=50, slots=8)


def request(number: int, input_tokens: int, output_tokens: int, at: float = 0.0) -> Request:
    return Request(number, 0, False, at, input_tokens, output_tokens)


def run_out(engine: Engine) -> list[Request]:
    """Advance until nothing is left."""
    ended: list[Request] = []
    while (at := engine.next_event_at()) < NEVER:
        ended += engine.advance(at)
    return ended


def test_a_request_alone_takes_its_prompts_steps_and_then_its_tokens() -> None:
    engine, only = Engine(SERVICE, 0.0), request(0, 100, 11)
    engine.add(only, 0.0)
    assert run_out(engine) == [only]
    # Two chunks of 50 tokens, each in a step of 10 ms and 50 ms; then ten steps of 12 ms.
    assert only.ttft_s == pytest.approx(2 * (0.01 + 0.05))
    assert only.tpot_s == pytest.approx(0.012)
    assert engine.busy_s == pytest.approx(only.ended_at)


def test_a_prompt_beside_generations_slows_them_for_its_time_only() -> None:
    engine, first, second = Engine(SERVICE, 0.0), request(0, 1, 1000), request(1, 500, 1)
    engine.add(first, 0.0)
    at = engine.next_event_at()
    engine.advance(at)
    engine.add(second, at)
    done = engine.next_event_at()
    # Ten chunks, each in a step with one generation.
    assert done - at == pytest.approx(10 * (0.01 + 0.002 + 0.05))
    engine.advance(done)
    assert engine.next_event_at() == pytest.approx(done)  # its only token was the first


def test_prompts_are_computed_in_the_order_they_came() -> None:
    engine = Engine(SERVICE, 0.0)
    requests = [request(n, 100, 5) for n in range(4)]
    for each in requests:
        engine.add(each, 0.0)
    run_out(engine)
    firsts = [each.first_token_at for each in requests]
    assert firsts == sorted(firsts)
    assert len(set(firsts)) == 4


def test_what_is_taken_off_keeps_its_tokens_and_pays_for_their_prefill_elsewhere() -> None:
    engine, moved = Engine(SERVICE, 0.0), request(0, 100, 101)
    engine.add(moved, 0.0)
    engine.advance(engine.next_event_at())
    half = engine.next_event_at() / 2 + moved.first_token_at / 2
    engine.advance(half)
    assert engine.take_all() == [moved]
    assert moved.kept_tokens == pytest.approx(51)
    other = Engine(SERVICE, half)
    other.add(moved, half)
    other.advance(resumed := other.next_event_at())
    assert resumed - half == pytest.approx((100 + 51) / 50 * 0.06)
    run_out(other)
    assert moved.ended_at == pytest.approx(resumed + 49 * 0.012)


@given(
    st.lists(
        st.tuples(st.floats(0, 5), st.integers(0, 2000), st.integers(1, 300), st.booleans()),
        min_size=1,
        max_size=8,
    )
)
def test_every_request_ends_once_and_none_sooner_than_alone(
    given_requests: list[tuple[float, int, int, bool]],
) -> None:
    arrivals = sorted(given_requests)
    engine, ended = Engine(SERVICE, 0.0), []
    for number, (at, prompt, output, batch) in enumerate(arrivals):
        while engine.next_event_at() <= at:
            ended += engine.advance(engine.next_event_at())
        ended += engine.advance(at)
        engine.add(Request(number, 0, batch, at, prompt, output), at)
    ended += run_out(engine)
    assert sorted(each.number for each in ended) == list(range(len(arrivals)))
    assert engine.running == engine.interactive == 0
    for each in ended:
        chunks = max(1, each.input_tokens) / SERVICE.chunk_tokens
        alone_s = chunks * (SERVICE.step_s + SERVICE.chunk_tokens * SERVICE.prefill_token_s)
        assert each.ttft_s >= alone_s - 1e-4
        assert math.isfinite(each.tpot_s)
        if each.output_tokens > 1:
            assert each.tpot_s >= SERVICE.tpot_s(1) - 1e-4

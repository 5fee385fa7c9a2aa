"""Who gives up a place for interactive work, who is protected, and that batch always finishes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engine.decisions.generation import Generation
from serving.engine.decisions.holding import (
    PROTECTED_AFTER_EVICTIONS,
    PROTECTED_AFTER_S,
    Places,
    is_protected,
    places,
    protected_share,
    returning,
    surplus,
)
from tests.engine.test_admission import Host

NOW = 1000.0


def batch(key: str, **known: Any) -> Generation:
    defaults = {"tokens": 100, "arrived_at": 900.0, "admitted_at": 950.0, "remaining_tokens": 100}
    return Generation(key, "batch", evictable=True, **(defaults | known))


def held_first(*generations: Generation) -> str:
    (given_up,) = surplus(list(generations), Places(len(generations) - 1, 0), NOW)
    return given_up.key


# ---------------------------------------------------------------- the cost of holding


@pytest.mark.parametrize(
    ("cheap", "dear"),
    [
        ({"output_tokens": 0, "evictions": 2}, {"output_tokens": 1}),
        ({"evictions": 0}, {"evictions": 2, "remaining_tokens": 500}),
        ({"deadline_at": None}, {"deadline_at": NOW + 5000}),
        ({"deadline_at": NOW + 9000}, {"deadline_at": NOW + 5000}),
        ({"remaining_tokens": 300}, {"remaining_tokens": 5}),
        ({"tokens": 10}, {"tokens": 90}),
        ({"admitted_at": 990.0}, {"admitted_at": 960.0}),
    ],
    ids=[
        "a prompt",
        "fewer evictions",
        "no deadline",
        "later deadline",
        "more to do",
        "less done",
        "newer",
    ],
)
def test_the_cheaper_one_is_held(cheap: dict[str, Any], dear: dict[str, Any]) -> None:
    assert held_first(batch("cheap", **cheap), batch("dear", **dear)) == "cheap"
    assert held_first(batch("dear", **dear), batch("cheap", **cheap)) == "cheap"


def test_the_dearest_goes_on_first() -> None:
    held = [batch("new"), batch("often", evictions=2), batch("nearly", remaining_tokens=3)]
    assert [g.key for g in returning(held, 0, Places(2, 2), NOW)] == ["often", "nearly"]


# ---------------------------------------------------------------- protection


def test_a_generation_is_protected_after_a_few_evictions_here_and_elsewhere() -> None:
    generation = batch("b", evictions=PROTECTED_AFTER_EVICTIONS - 1)
    assert not is_protected(generation, NOW)
    generation.hold(NOW)
    assert is_protected(generation, NOW)


def test_a_generation_is_protected_when_it_was_passed_over_for_long() -> None:
    held, waiting = batch("h"), batch("w", arrived_at=NOW, admitted_at=None)
    held.hold(NOW)
    for generation in (held, waiting):
        assert not is_protected(generation, NOW + PROTECTED_AFTER_S - 1)
        assert is_protected(generation, NOW + PROTECTED_AFTER_S)


def test_a_generation_is_protected_when_its_remaining_work_no_longer_fits_its_deadline() -> None:
    # It had 10 tokens in 50 s, so the 100 to come take 500 s at that rate.
    late = batch("l", output_tokens=10, deadline_at=NOW + 600)
    early = batch("e", output_tokens=10, deadline_at=NOW + 900)
    assert is_protected(late, NOW)
    assert not is_protected(early, NOW)


def test_time_in_which_it_was_held_does_not_count_as_its_rate() -> None:
    generation = batch("b", output_tokens=10)
    generation.hold(NOW)
    generation.release(NOW + 400)
    assert generation.remaining_s(NOW + 400) == pytest.approx(500)


def test_protected_ones_keep_a_share_beside_any_amount_of_interactive_work() -> None:
    assert places(slots=32, cap=8, interactive=20) == Places(0, protected_share(8))
    running = [batch(f"p{i}", evictions=9) for i in range(4)] + [batch("b")]
    given_up = surplus(running, places(slots=32, cap=8, interactive=20), NOW)
    assert len(running) - len(given_up) == protected_share(8)
    assert "b" in [g.key for g in given_up]


@given(
    slots=st.integers(1, 64),
    cap=st.integers(1, 64),
    interactive=st.integers(0, 80),
)
def test_places_keep_within_slots_and_cap(slots: int, cap: int, interactive: int) -> None:
    cap = min(cap, slots)
    found = places(slots=slots, cap=cap, interactive=interactive)
    assert 0 <= found.batch <= found.protected
    assert min(interactive, slots) + found.protected <= slots
    if interactive:
        computing = min(interactive, slots) + found.protected
        assert computing <= max(cap, interactive + protected_share(cap))


# ---------------------------------------------------------------- batch always finishes


def test_every_batch_generation_finishes_beside_endless_interactive_work() -> None:
    host = Host(slots=8, cap=2)
    for i in range(12):
        host.arrive(f"b{i}", "batch", remaining_tokens=5)
    host.step()
    for i in range(3):
        host.arrive(f"i{i}", "interactive", remaining_tokens=10**9)
    finished = 0
    for _ in range(2000):
        host.now += 1.0
        host.step()
        for key, generation in list(host.admission.running.items()):
            generation.got(1, host.now)
            if generation.remaining_tokens == 0:
                host.end(key)
                finished += 1
    assert finished == 12

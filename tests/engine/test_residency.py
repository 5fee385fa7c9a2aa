"""Tiers: what is prewarmed, and what gives way when memory is short."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engine.decisions.bring_back import BringBack
from serving.engine.decisions.effects import Move
from serving.engine.decisions.residency import Residency
from serving.wire import Tier


def residency(budget: int, tiers: dict[str, Tier], *, prewarm: bool = False) -> Residency:
    made = Residency(tiers, budget_bytes=budget)
    made.prewarm = prewarm
    for model, tier in tiers.items():
        if tier in ("asleep", "parked"):
            made.set_tier(model, "awake")
        made.set_tier(model, tier)
    return made


def test_within_the_budget_nothing_moves() -> None:
    held = residency(10, {"a": "asleep", "b": "asleep", "c": "awake"})
    held.measured({"a": 5, "b": 5, "c": 99})
    assert held.next_move(busy=False, now=0.0) is None


def test_beyond_the_budget_the_least_recently_awake_model_is_parked() -> None:
    held = residency(9, {"a": "asleep", "b": "asleep", "c": "awake"})
    held.measured({"a": 5, "b": 5})
    assert held.next_move(busy=True, now=0.0) == Move("a", "parked")


def test_when_all_are_parked_the_least_recently_awake_is_stopped() -> None:
    held = residency(3, {"a": "parked", "b": "parked", "c": "awake"})
    held.measured({"a": 2, "b": 2})
    assert held.next_move(busy=False, now=0.0) == Move("a", "disk")


def test_one_move_at_a_time() -> None:
    held = residency(0, {"a": "asleep", "b": "asleep"})
    held.measured({"a": 2, "b": 2})
    assert held.next_move(busy=False, now=0.0) is not None
    assert held.next_move(busy=False, now=0.0) is None


def test_nothing_is_decided_before_memory_is_measured_again() -> None:
    held = residency(9, {"a": "asleep", "b": "awake"})
    held.measured({"a": 5})
    held.set_tier("b", "asleep")
    assert held.next_move(busy=False, now=0.0) is None


def test_models_on_disk_are_prewarmed_in_the_registry_order_while_they_fit() -> None:
    held = residency(10, {"a": "awake", "b": "disk", "c": "disk"}, prewarm=True)
    held.measured({"a": 4})
    assert held.next_move(busy=False, now=0.0) == Move("b", "asleep")


def test_prewarming_waits_while_the_host_is_busy() -> None:
    held = residency(10, {"a": "awake", "b": "disk"}, prewarm=True)
    held.measured({"a": 4})
    assert held.next_move(busy=True, now=0.0) is None


def test_a_model_expected_not_to_fit_is_not_prewarmed() -> None:
    held = residency(7, {"a": "awake", "b": "asleep", "c": "disk"}, prewarm=True)
    held.measured({"a": 4, "b": 4})
    assert held.next_move(busy=False, now=0.0) is None


def test_a_model_stopped_for_want_of_memory_is_not_prewarmed_again() -> None:
    held = residency(3, {"a": "parked", "b": "awake"}, prewarm=True)
    held.measured({"a": 4, "b": 0})
    assert held.next_move(busy=False, now=0.0) == Move("a", "disk")
    held.moving = None
    held.set_tier("a", "disk")
    held.measured({"b": 0})
    assert held.next_move(busy=False, now=0.0) is None


# ---------------------------------------------------------------- standbys


def test_a_standby_gives_way_after_all_others() -> None:
    held = residency(9, {"a": "asleep", "b": "asleep", "c": "awake"})
    held.want(["a"])
    held.measured({"a": 5, "b": 5})
    assert held.next_move(busy=True, now=0.0) == Move("b", "parked")


def test_the_first_standby_stays_longest() -> None:
    held = residency(9, {"a": "asleep", "b": "asleep", "c": "awake"})
    held.want(["b", "a"])
    held.measured({"a": 5, "b": 5})
    assert held.next_move(busy=True, now=0.0) == Move("a", "parked")


def test_a_parked_standby_is_brought_up_before_models_on_disk() -> None:
    held = residency(20, {"a": "awake", "b": "parked", "c": "disk"}, prewarm=True)
    held.want(["b"])
    held.measured({"a": 4, "b": 1})
    assert held.next_move(busy=False, now=0.0) == Move("b", "asleep")


def test_others_step_down_for_a_standby_that_lacks_room() -> None:
    held = residency(10, {"a": "awake", "b": "asleep", "c": "disk"}, prewarm=True)
    held.measured({"a": 6, "b": 6})
    held.want(["c"])
    assert held.next_move(busy=False, now=0.0) == Move("b", "parked")


def test_nothing_steps_down_for_a_standby_that_cannot_fit() -> None:
    held = residency(10, {"a": "awake", "b": "asleep", "c": "disk"}, prewarm=True)
    held.measured({"a": 11, "b": 6})
    held.want(["c"])
    assert held.next_move(busy=False, now=0.0) is None


def test_a_standby_that_failed_gets_another_chance_when_it_is_newly_wanted() -> None:
    held = residency(10, {"a": "awake", "b": "disk"}, prewarm=True)
    held.want(["b"])
    held.measured({"a": 4})
    assert held.next_move(busy=False, now=0.0) == Move("b", "asleep")
    held.moved("b", "disk", "it did not load", 1.0)
    held.want(["b"])
    assert held.next_move(busy=False, now=1.0) is None, "wanted all the time"
    held.want([])
    held.want(["b"])
    assert held.next_move(busy=False, now=1.0) == Move("b", "asleep")


def test_absent_weights_are_fetched_for_a_standby_only() -> None:
    held = residency(20, {"a": "awake", "b": "disk", "c": "disk"}, prewarm=True)
    held.measured({"a": 4})
    held.weights_seen(frozenset({"a"}))
    assert held.tiers == {"a": "awake", "b": "absent", "c": "absent"}
    assert held.next_move(busy=False, now=0.0) is None
    held.want(["c"])
    assert held.next_move(busy=False, now=0.0) == Move("c", "asleep")


# ---------------------------------------------------------------- worth

GIB = 1024**3


def two_asleep(large: int, small: int) -> Residency:
    """`large` and `small`, in GiB, do not fit together; `large` was awake last."""
    held = residency((large + small) * GIB - 1, {"small": "asleep", "large": "asleep"})
    held.measured({"small": small * GIB, "large": large * GIB})
    return held


def test_what_is_quick_to_bring_back_for_its_bytes_gives_way_first() -> None:
    held = two_asleep(large=8, small=1)
    for _ in range(5):
        held.brought_back("small", "parked", 5.0)
        held.brought_back("large", "parked", 6.0)
    assert held.next_move(busy=True, now=0.0) == Move("large", "parked")


def test_of_those_worth_alike_the_least_recently_awake_gives_way() -> None:
    held = two_asleep(large=2, small=2)
    held.brought_back("small", "parked", 1.2)
    held.brought_back("large", "parked", 1.0)
    assert held.next_move(busy=True, now=0.0) == Move("small", "parked")


def test_what_was_awake_long_ago_gives_way_in_the_end_however_dear_it_is() -> None:
    held = residency(9 * GIB, {"dear": "asleep", "x": "asleep", "y": "awake"})
    sizes = {"dear": GIB, "x": 9 * GIB, "y": 9 * GIB}
    held.measured(sizes)
    for model in ("dear", "x", "dear", "x"):
        held.brought_back(model, "parked", 5.0)
    parked: list[str] = []
    for n in range(30):
        new, old = ("x", "y") if n % 2 == 0 else ("y", "x")
        held.set_tier(old, "asleep")
        held.set_tier(new, "awake")
        held.measured(sizes)
        held.brought_back(new, "parked", 5.0)
        while (move := held.next_move(busy=True, now=0.0)) is not None:
            parked += [move.model] if move.tier == "parked" else []
            held.moved(move.model, move.tier, None, 0.0)
            held.measured({m: s for m, s in sizes.items() if held.tiers[m] == "asleep"})
    assert parked.index("dear") > 1, "others gave way before it"


times = st.floats(0.01, 100)
sizes = st.integers(1_000_000, 10_000_000_000)


@given(st.lists(st.tuples(sizes, times), max_size=20), sizes, sizes)
def test_a_larger_model_never_takes_less(
    seen: list[tuple[int, float]], one: int, other: int
) -> None:
    host = BringBack()
    for size, took_s in seen:
        host.took("disk", size, took_s)
    small, large = sorted([one, other])
    assert 0 <= host.expected_s("disk", small) <= host.expected_s("disk", large)


@given(st.floats(0, 10), st.floats(1e8, 1e10))
def test_fixed_time_and_bandwidth_are_learned_from_models_of_different_sizes(
    fixed_s: float, bytes_per_s: float
) -> None:
    host = BringBack()
    for size in [300_000_000, 5_000_000_000] * 10:
        host.took("parked", size, fixed_s + size / bytes_per_s)
    for size in (500_000_000, 4_000_000_000):
        truth_s = fixed_s + size / bytes_per_s
        assert host.expected_s("parked", size) == pytest.approx(truth_s, rel=0.1, abs=0.1)

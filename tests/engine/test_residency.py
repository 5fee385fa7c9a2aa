"""Tiers: what is prewarmed, and what gives way when memory is short."""

from serving.engine.decisions.events import Move
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

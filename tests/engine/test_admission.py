"""Which generations compute, which are held for them, and which wait."""

from typing import Any

import pytest

from serving.engine.decisions.admission import Admission, Place, PromptBudget
from serving.engine.decisions.cap import CapLoop
from serving.engine.decisions.curve import assumed
from serving.engine.decisions.effects import Admit, Hold, Release, Steer
from serving.engine.decisions.generation import Generation
from serving.engine.protocol import Steering
from serving.wire import Finished, RequestClass

BUDGET = PromptBudget(beside_interactive=16, alone=256)


class Host:
    """An admission with its clock, and an engine that is told what to hold."""

    def __init__(self, *, slots: int, cap: int) -> None:
        self.admission = Admission()
        self.cap = CapLoop(assumed(level_s=0.1, cap=cap), slots=slots, level_s=0.1, first_cap=cap)
        self.admission.serve(Place("m", slots, self.cap, BUDGET))
        self.now = 0.0
        self.told: list[Steering] = []

    def arrive(self, key: str, request_class: RequestClass, **known: Any) -> None:
        self.now += 1.0
        known = {"evictable": True, "tokens": 10, "remaining_tokens": 100} | known
        self.admission.waiting[key] = Generation(
            key=key, request_class=request_class, arrived_at=self.now, **known
        )

    def step(self) -> dict[str, list[str]]:
        """What was done, by kind: keys."""
        done: dict[str, list[str]] = {}
        for effect in self.admission.step(self.now):
            match effect:
                case Admit(key) | Hold(key) | Release(key):
                    done.setdefault(type(effect).__name__, []).append(key)
                case Steer("m", steering):
                    assert not {"Admit"} & done.keys(), "admitted before the engine was told"
                    self.told.append(steering)
        return done

    def end(self, key: str) -> None:
        self.admission.running.pop(key, None)
        self.admission.held.pop(key, None)


def full_of_batch(*, slots: int, cap: int, **known: Any) -> Host:
    host = Host(slots=slots, cap=cap)
    for i in range(slots):
        host.arrive(f"b{i}", "batch", tokens=10 + i, **known)
    host.step()
    return host


# ---------------------------------------------------------------- who is admitted


def test_batch_fills_every_slot_while_no_interactive_request_is_present() -> None:
    host = Host(slots=4, cap=2)
    for i in range(6):
        host.arrive(f"b{i}", "batch")
    assert host.step() == {"Admit": ["b0", "b1", "b2", "b3"]}
    assert list(host.admission.waiting) == ["b4", "b5"]


def test_interactive_requests_are_admitted_before_batch_requests_that_came_earlier() -> None:
    host = Host(slots=4, cap=2)
    host.arrive("b", "batch")
    host.arrive("i", "interactive")
    assert host.step() == {"Admit": ["i", "b"]}


def test_interactive_requests_compute_up_to_the_slots_whatever_the_cap() -> None:
    host = Host(slots=3, cap=1)
    for i in range(4):
        host.arrive(f"i{i}", "interactive")
    assert host.step() == {"Admit": ["i0", "i1", "i2"]}


def test_a_slot_is_free_only_when_the_engine_has_let_go_of_it() -> None:
    host = full_of_batch(slots=2, cap=2)
    host.admission.running["b0"].ending = Finished("stop")
    host.admission.running["b1"].unwanted = True
    host.arrive("i", "interactive")
    assert host.step() == {}
    host.end("b1")
    assert host.step() == {"Admit": ["i"]}


# ---------------------------------------------------------------- who is held


def test_an_interactive_request_has_its_slot_at_once_because_batch_is_held() -> None:
    host = full_of_batch(slots=2, cap=2)
    host.arrive("i", "interactive")
    assert host.step() == {"Hold": ["b0"], "Admit": ["i"]}
    assert host.told[-1] == Steering(frozenset({"b0"}), BUDGET.beside_interactive)


def test_the_computing_batch_is_held_to_the_cap_while_interactive_work_is_present() -> None:
    host = full_of_batch(slots=8, cap=3)
    host.arrive("i", "interactive")
    assert host.step()["Hold"] == ["b0", "b1", "b2", "b3", "b4", "b5"]
    assert sorted(host.admission.running) == ["b6", "b7", "i"]


def test_nothing_is_held_twice_or_beyond_need() -> None:
    host = full_of_batch(slots=4, cap=4)
    host.arrive("i", "interactive")
    assert host.step()["Hold"] == ["b0"]
    assert host.step() == {}


@pytest.mark.parametrize("waiting", [1, 2, 5])
def test_no_more_is_held_than_interactive_work_and_cap_ask_for(waiting: int) -> None:
    host = full_of_batch(slots=4, cap=4)
    for i in range(waiting):
        host.arrive(f"i{i}", "interactive")
    assert len(host.step()["Hold"]) == min(waiting, 4)


def test_what_is_not_evictable_can_be_held_because_nothing_is_lost() -> None:
    host = full_of_batch(slots=3, cap=3, evictable=False)
    host.arrive("i", "interactive")
    assert host.step() == {"Hold": ["b0"], "Admit": ["i"]}


# ---------------------------------------------------------------- who goes on


def test_the_held_go_on_at_once_when_the_last_interactive_request_ends() -> None:
    host = full_of_batch(slots=4, cap=1)
    host.arrive("waiting", "batch")
    host.arrive("i", "interactive")
    held = host.step()["Hold"]
    host.end("i")
    done = host.step()
    assert sorted(done["Release"]) == sorted(held)
    assert "Admit" not in done, "before the held ones nobody is admitted"
    assert host.told[-1] == Steering(frozenset(), BUDGET.alone)


def test_a_place_that_comes_free_beside_interactive_work_goes_to_a_held_one_first() -> None:
    host = full_of_batch(slots=4, cap=3)
    host.arrive("waiting", "batch")
    host.arrive("i", "interactive")
    host.step()
    running = next(key for key in host.admission.running if key != "i")
    host.end(running)
    done = host.step()
    assert len(done["Release"]) == 1
    assert "Admit" not in done


def test_batch_on_the_engine_never_exceeds_the_slots_so_that_all_of_it_can_go_on() -> None:
    host = full_of_batch(slots=4, cap=4)
    host.arrive("urgent", "batch", evictions=9)
    for i in range(4):
        host.arrive(f"i{i}", "interactive")
    host.step()
    host.end("i0")
    host.step()
    batch = [g for g in host.admission.on_engine().values() if g.request_class == "batch"]
    assert len(batch) == 4
    assert "urgent" in host.admission.waiting


# ---------------------------------------------------------------- what the engine is told


def test_the_engine_is_told_only_when_something_has_changed_for_it() -> None:
    host = full_of_batch(slots=2, cap=1)
    host.arrive("i", "interactive")
    host.step()
    told = len(host.told)
    host.step()
    host.end("b0")  # held: the engine has forgotten it by itself
    host.step()
    assert len(host.told) == told


def test_a_model_that_wakes_is_told_anew_what_it_is_held_to() -> None:
    host = Host(slots=2, cap=1)
    host.step()
    host.admission.serve(Place("m", 2, host.cap, BUDGET))
    host.step()
    assert host.told == [Steering(frozenset(), BUDGET.alone)] * 2


def test_when_another_engine_takes_over_what_is_held_goes_on_where_it_is() -> None:
    host = full_of_batch(slots=2, cap=1)
    host.arrive("i", "interactive")
    held = host.step()["Hold"]
    left, effects = host.admission.leave()
    assert effects == [Steer("m", Steering()), *(Release(key) for key in held)]
    assert left.keys() == {"b0", "b1", "i"}
    assert not host.admission.on_engine()


# ---------------------------------------------------------------- what the cap learns from


def test_the_cap_learns_from_the_gaps_of_interactive_generations() -> None:
    host = Host(slots=8, cap=8)
    for key, request_class in (("i", "interactive"), *((f"b{n}", "batch") for n in range(7))):
        host.arrive(key, request_class)  # type: ignore[arg-type] # both are classes
    host.step()
    for _ in range(40):
        host.now += 0.2  # twice the service level
        host.admission.progressed([(host.admission.running["i"], 1)], host.now)
    assert host.cap.cap < 8
    assert host.step()["Hold"]


def test_gaps_in_which_the_batch_changed_or_a_prompt_was_computed_teach_nothing() -> None:
    host = Host(slots=4, cap=4)
    host.arrive("i", "interactive")
    host.arrive("prompt", "interactive")
    host.step()
    for _ in range(100):
        host.now += 10.0
        host.admission.progressed([(host.admission.running["i"], 1)], host.now)
    host.end("prompt")
    for n in range(100):
        host.arrive(f"b{n}", "batch")
        host.step()
        host.now += 10.0
        host.admission.progressed([(host.admission.running["i"], 1)], host.now)
        host.end(f"b{n}")
        host.now += 10.0
        host.admission.progressed([(host.admission.running["i"], 1)], host.now)
    assert host.cap.cap == 4

"""Which generations have a slot, and which must give theirs back."""

import pytest

from serving.engine.decisions.admission import Admission, Generation
from serving.engine.decisions.events import Admit, Evicted, Halt
from serving.wire import HandedBack, RequestClass


class Host:
    """An admission with its clock."""

    def __init__(self, *, slots: int, cap: int) -> None:
        self.admission = Admission()
        self.admission.set_limits(slots=slots, interactive_cap=cap)
        self.now = 0.0

    def arrive(
        self,
        key: str,
        request_class: RequestClass,
        *,
        evictable: bool = True,
        tokens: int = 10,
    ) -> None:
        self.now += 1.0
        self.admission.waiting[key] = Generation(key, request_class, evictable, tokens, self.now)

    def step(self) -> tuple[list[str], list[str]]:
        """(admitted, evicted) keys."""
        effects = self.admission.step(self.now)
        admitted = [effect.key for effect in effects if isinstance(effect, Admit)]
        evicted = [effect.key for effect in effects if isinstance(effect, Evicted)]
        halted = [effect.key for effect in effects if isinstance(effect, Halt)]
        assert evicted == halted
        return admitted, evicted

    def end(self, key: str) -> None:
        del self.admission.running[key]


def full_of_batch(*, slots: int, cap: int, **settings: bool) -> Host:
    host = Host(slots=slots, cap=cap)
    for i in range(slots):
        host.arrive(f"b{i}", "batch", tokens=10 + i, **settings)
    host.step()
    return host


def test_batch_fills_every_slot_while_no_interactive_request_is_present() -> None:
    host = Host(slots=4, cap=2)
    for i in range(6):
        host.arrive(f"b{i}", "batch")
    assert host.step() == (["b0", "b1", "b2", "b3"], [])
    assert list(host.admission.waiting) == ["b4", "b5"]


def test_interactive_requests_are_admitted_before_batch_requests_that_came_earlier() -> None:
    host = Host(slots=4, cap=2)
    host.arrive("b", "batch")
    host.arrive("i", "interactive")
    assert host.step() == (["i", "b"], [])


def test_a_batch_request_is_evicted_when_an_interactive_one_needs_its_slot() -> None:
    host = full_of_batch(slots=2, cap=2)
    host.arrive("i", "interactive")
    assert host.step() == ([], ["b0"]), "its slot is free only once it has left the engine"
    host.end("b0")
    assert host.step() == (["i"], [])


def test_the_running_batch_is_held_to_the_cap_while_interactive_work_is_present() -> None:
    host = full_of_batch(slots=8, cap=3)
    host.arrive("i", "interactive")
    _, evicted = host.step()
    assert evicted == ["b0", "b1", "b2", "b3", "b4", "b5"]
    for key in evicted:
        host.end(key)
    assert host.step() == (["i"], [])
    assert sorted(host.admission.running) == ["b6", "b7", "i"]


def test_the_cheapest_to_resume_is_evicted_first_and_of_equals_the_newest() -> None:
    host = Host(slots=3, cap=3)
    for key, tokens in (("old", 20), ("costly", 99), ("new", 20)):
        host.arrive(key, "batch", tokens=tokens)
        host.step()
    host.arrive("i", "interactive")
    assert host.step() == ([], ["new"])


def test_nothing_more_is_evicted_while_the_evicted_are_still_leaving() -> None:
    host = full_of_batch(slots=4, cap=4)
    host.arrive("i", "interactive")
    assert host.step() == ([], ["b0"])
    assert host.step() == ([], [])
    assert host.admission.running["b0"].ending == HandedBack("evicted")


def test_a_request_that_is_not_evictable_keeps_its_slot() -> None:
    host = full_of_batch(slots=3, cap=3, evictable=False)
    host.arrive("i", "interactive")
    assert host.step() == ([], [])


def test_batch_that_cannot_be_evicted_does_not_starve_interactive_work_below_the_cap() -> None:
    host = Host(slots=4, cap=2)
    for key in ("b0", "b1"):
        host.arrive(key, "batch", evictable=False)
    host.step()
    host.arrive("i", "interactive")
    assert host.step() == (["i"], [])


def test_interactive_requests_beyond_the_cap_wait() -> None:
    host = Host(slots=8, cap=2)
    for i in range(4):
        host.arrive(f"i{i}", "interactive")
    assert host.step() == (["i0", "i1"], [])


def test_batch_comes_back_when_the_last_interactive_request_ends() -> None:
    host = Host(slots=4, cap=2)
    host.arrive("i", "interactive")
    for i in range(4):
        host.arrive(f"b{i}", "batch")
    assert host.step() == (["i", "b0"], [])
    host.end("i")
    assert host.step() == (["b1", "b2", "b3"], [])


@pytest.mark.parametrize("waiting", [1, 5])
def test_no_more_is_evicted_than_interactive_work_and_cap_ask_for(waiting: int) -> None:
    host = full_of_batch(slots=4, cap=4)
    for i in range(waiting):
        host.arrive(f"i{i}", "interactive")
    _, evicted = host.step()
    assert len(evicted) == min(waiting, 4)

"""When a host's samples measure memory too."""

from hypothesis import given
from hypothesis import strategies as st

from serving.engine.memory import MemoryTurns


def test_memory_is_measured_once_the_tiers_have_come_to_rest() -> None:
    turns = MemoryTurns()
    due = [turns.due(changes, swapping=False) for changes in (1, 2, 2, 2, 2)]
    assert due == [False, False, True, False, False]


def test_memory_is_measured_now_and_then_without_a_change() -> None:
    turns = MemoryTurns()
    due = [turns.due(0, swapping=False) for _ in range(2 + 2 * MemoryTurns.MEASURED_EVERY)]
    assert due.count(True) == 3


def test_memory_is_measured_now_and_then_when_tiers_never_rest() -> None:
    turns = MemoryTurns()
    due = [turns.due(n, swapping=False) for n in range(2 * MemoryTurns.MEASURED_EVERY)]
    assert due.count(True) == 2


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans())))
def test_a_hotswap_is_never_disturbed(samples: list[tuple[int, bool]]) -> None:
    turns = MemoryTurns()
    for changes, swapping in samples:
        assert not (turns.due(changes, swapping=swapping) and swapping)


def test_what_waited_for_a_hotswap_is_measured_after_it() -> None:
    turns = MemoryTurns()
    assert not any(turns.due(n // 2, swapping=True) for n in range(30))
    assert turns.due(14, swapping=False)

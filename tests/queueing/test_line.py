"""Whose turn it is among those that wait for one model."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from serving.queueing import Line
from serving.queueing.line import LATE_SHARE, LEAST_WORK_S


@dataclass(eq=False)
class Waiter:
    due_at: float
    work_s: float
    on_engine: bool = False


def line(*waiters: Waiter) -> Line[Waiter]:
    made = Line[Waiter](
        due_at=lambda waiter: waiter.due_at,
        work_s=lambda waiter: waiter.work_s,
        computing=lambda waiter: waiter.on_engine,
    )
    for waiter in waiters:
        made.add(waiter)
    return made


def sent(waiting: Line[Waiter]) -> list[Waiter]:
    """All that would be sent now."""
    found = []
    while waiting.first() is not None:
        found.append(waiting.take())
        found[-1].on_engine = True
    return found


def test_those_in_time_go_in_the_order_they_are_due_and_the_late_ones_last() -> None:
    late, first, second = Waiter(-5.0, 1.0), Waiter(1.0, 0.2), Waiter(2.0, 0.2)
    waiting = line(second, late, first)
    waiting.arrange(0.0, [0.0])
    assert sent(waiting) == [first, second, late]


def test_who_is_handed_back_goes_to_its_place() -> None:
    first, second = Waiter(1.0, 0.2), Waiter(2.0, 0.2)
    waiting = line(first, second)
    waiting.arrange(0.0, [0.0])
    taken = waiting.take()
    waiting.add(taken)
    waiting.arrange(0.1, [0.0])
    assert sent(waiting) == [first, second]


def test_what_was_put_off_is_in_time_again_when_an_engine_comes() -> None:
    long, short = Waiter(1.9, 1.8), Waiter(2.0, 0.5)
    waiting = line(long, short)
    waiting.arrange(0.0, [0.0])
    assert waiting.first() is short
    waiting.arrange(0.0, [0.0, 0.0])
    assert waiting.first() is long


def test_late_ones_leave_half_of_the_engines_to_whoever_comes() -> None:
    late = [Waiter(-1.0, 3.0) for _ in range(8)]
    waiting = line(*late)
    waiting.arrange(0.0, [0.0] * 4)
    assert sent(waiting) == late[:2]
    late[0].on_engine = False
    waiting.arrange(1.0, [0.0] * 4)
    assert sent(waiting) == [late[2]]


def test_a_late_one_that_is_handed_back_is_on_no_engine() -> None:
    late = Waiter(-1.0, 3.0)
    waiting = line(late)
    waiting.arrange(0.0, [0.0])
    assert sent(waiting) == [late]
    waiting.add(late)
    waiting.arrange(1.0, [0.0])
    assert waiting.first() is late


def test_who_leaves_is_not_sent() -> None:
    here, gone = Waiter(1.0, 0.1), Waiter(2.0, 0.1)
    waiting = line(here, gone)
    waiting.remove(gone)
    waiting.arrange(0.0, [0.0])
    assert sent(waiting) == [here]


@given(
    late_s=st.lists(st.floats(0.0, 5.0), min_size=1, max_size=8),
    fresh_s=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=400),
)
def test_nobody_starves_though_others_are_in_time_all_the_while(
    late_s: list[float], fresh_s: list[float]
) -> None:
    """While late ones wait they get their share of the work, but for the one that is next."""
    late = [Waiter(-1.0, work_s) for work_s in late_s]
    waiting, others_s, late_sent_s = line(*late), 0.0, 0.0
    for now, work_s in enumerate(fresh_s):
        waiting.add(Waiter(now + 2.0, work_s))
        waiting.arrange(now, [0.0])
        while len(waiting) > 1:
            turn = waiting.take()
            if turn not in late:
                others_s += turn.work_s
                break
            late_sent_s += turn.work_s
        if len(waiting) <= 1:
            return
        owed_s = LATE_SHARE * others_s - late_sent_s
        assert owed_s <= max(LEAST_WORK_S, *late_s) + LATE_SHARE


@given(
    waiters=st.lists(st.builds(Waiter, st.floats(-5.0, 5.0), st.floats(0.0, 3.0)), max_size=12),
    engines=st.integers(1, 5),
)
def test_everybody_is_sent_once_and_engines_never_stand_idle(
    waiters: list[Waiter], engines: int
) -> None:
    waiting, seen = line(*waiters), list[Waiter]()
    for _ in waiters:
        waiting.arrange(0.0, [0.0] * engines)
        turn = waiting.first()
        assert turn is not None
        seen.append(waiting.take())
    assert sorted(map(id, seen)) == sorted(map(id, waiters))
    assert len(waiting) == 0

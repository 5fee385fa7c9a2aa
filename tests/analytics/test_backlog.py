"""The bounded queue between the request path and the store."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from analytics.backlog import Backlog
from tests.analytics.samples import arrived


def names(batch: list) -> list[str]:
    return [event.request_id for event in batch]


def test_a_full_backlog_drops_its_oldest_event_and_counts_it() -> None:
    backlog = Backlog(capacity=2)
    for name in ("a", "b", "c"):
        backlog.append(arrived(request_id=name))
    assert names(backlog.take(10)) == ["b", "c"]
    assert backlog.dropped == 1


def test_a_closed_backlog_does_not_wait() -> None:
    backlog = Backlog(capacity=2)
    backlog.close()
    backlog.wait()
    backlog.wait_full(2, 60)
    assert backlog.take(1) == []


def test_who_waits_for_several_events_goes_on_when_they_are_there() -> None:
    backlog = Backlog(capacity=10)
    waiting = threading.Thread(target=lambda: backlog.wait_full(3))
    waiting.start()
    for name in ("a", "b"):
        backlog.append(arrived(request_id=name))
    assert waiting.is_alive()
    backlog.append(arrived(request_id="c"))
    waiting.join(60)
    assert not waiting.is_alive()


steps_of_a_backlog = st.one_of(st.none(), st.just("give up"), st.integers(1, 4))


@given(st.lists(steps_of_a_backlog, max_size=60), st.integers(1, 5))
def test_every_event_is_taken_once_in_order_or_counted_as_dropped(
    steps: list[int | str | None], capacity: int
) -> None:
    backlog = Backlog(capacity)
    appended, taken = 0, []
    for step in steps:
        if step is None:
            backlog.append(arrived(request_id=str(appended)))
            appended += 1
        elif isinstance(step, str):
            backlog.give_up()
        else:
            taken += backlog.take(step)
    taken += backlog.take(capacity)
    positions = [int(event.request_id) for event in taken]
    assert positions == sorted(set(positions))
    assert len(positions) + backlog.dropped == appended

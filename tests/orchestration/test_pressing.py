"""Which queued batch runs are given a place kept for pressing ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.batch.pressing import (
    MARGIN_S,
    PATIENCE_S,
    PRESSING_PLACES,
    QueuedRun,
    begin_by,
    begin_by_of,
    priority_of,
    to_hurry,
)

NOW = 1_800_000_000.0


def queued(
    run_id: str, left_s: float | None, waited_s: float = 60.0, *, only_ends: bool = False
) -> QueuedRun:
    by = None if left_s is None else NOW + left_s
    return QueuedRun(run_id=run_id, waited_s=waited_s, begin_by=by, only_ends=only_ends)


def test_a_run_that_must_begin_soon_does_not_wait_behind_others() -> None:
    runs = [queued("in time", 2 * MARGIN_S), queued("soon", MARGIN_S / 2), queued("late", -10.0)]

    assert to_hurry(runs, pressing=0, now=NOW) == ["late", "soon"]


def test_a_cancelled_batch_is_ended_at_once_however_much_time_it_had() -> None:
    runs = [queued("late", -10.0), queued("cancelled", 80_000.0, only_ends=True)]

    assert to_hurry(runs, pressing=0, now=NOW) == ["cancelled", "late"]


def test_a_run_first_waits_a_moment_for_a_place_of_the_others() -> None:
    assert to_hurry([queued("new", 10.0, waited_s=PATIENCE_S / 2)], pressing=0, now=NOW) == []


def test_a_run_that_nobody_gave_a_time_waits_its_turn() -> None:
    assert to_hurry([queued("whenever", None)], pressing=0, now=NOW) == []


@given(st.lists(st.floats(-10_000, 10_000), max_size=20), st.integers(0, 6))
def test_no_more_are_hurried_than_places_are_kept(left_s: list[float], pressing: int) -> None:
    runs = [queued(str(number), left) for number, left in enumerate(left_s)]

    hurried = to_hurry(runs, pressing=pressing, now=NOW)

    assert len(hurried) <= max(0, PRESSING_PLACES - pressing)


def test_what_takes_long_must_begin_sooner_and_goes_first() -> None:
    long, short = begin_by(NOW + 86_400, 40_000.0), begin_by(NOW + 86_400, None)

    assert int(priority_of(long)) > int(priority_of(short))
    assert begin_by_of(priority_of(long)) == long


@pytest.mark.parametrize("priority", [None, "", "0", "7", "urgent"])
def test_a_priority_that_is_none_of_ours_says_no_time(priority: str | None) -> None:
    assert begin_by_of(priority) is None

"""How many requests a run may have open: its window, and its share of what there is."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.batch.offers import Offer, offer_of
from orchestration.batch.urgency import due_in_s, needed_places
from orchestration.batch.window import URGENT_SHARE, Window, entitled, places, share
from tests.orchestration.building import a_model
from tests.orchestration.gateway import REPLICA


def test_the_window_is_the_slots_a_spare_quarter_and_one_more_replica_to_be_seen() -> None:
    model = a_model("a", most=4)  # of 8 slots

    assert [places(slots, model) for slots in (0, 8, 16, 24, 32, 64)] == [8, 16, 24, 32, 40, 40]
    assert places(8, a_model("a", most=1)) == 10


async def test_places_are_given_in_turn_and_a_smaller_window_waits_for_the_open_ones() -> None:
    window = Window(2)
    await window.enter()
    await window.enter()
    window.resize(1)
    third = asyncio.create_task(window.enter())
    await asyncio.sleep(0)
    window.leave()
    await asyncio.sleep(0)
    assert not third.done()

    window.leave()
    await third
    assert window.open == 1


async def test_a_place_is_not_lost_with_who_waited_for_it() -> None:
    window = Window(1)
    await window.enter()
    waiting = asyncio.create_task(window.enter())
    await asyncio.sleep(0)
    window.leave()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    await asyncio.wait_for(window.enter(), 120)


@given(
    total=st.integers(1, 400),
    rows=st.lists(st.integers(1, 500), min_size=1, max_size=8),
    opened=st.lists(st.integers(0, 400), min_size=8, max_size=8),
)
def test_runs_of_a_model_come_to_even_parts_and_what_one_leaves_the_others_take(
    total: int, rows: list[int], opened: list[int]
) -> None:
    runs = len(rows)
    open_ = [min(left, had) for left, had in zip(rows, opened, strict=False)]
    for _ in range(60):
        works, in_flight = sum(map(bool, open_)), sum(open_)
        part = entitled(total, works=works)
        shares = [share(total, part, open_=had, in_flight=in_flight, works=works) for had in open_]
        open_ = [min(left, part) for left, part in zip(rows, shares, strict=True)]

    even = total // runs
    assert min(total, sum(rows)) <= sum(open_) <= total + 2 * runs
    assert all(had >= min(left, even) for left, had in zip(rows, open_, strict=True))
    if runs == 1:
        assert shares == [total]


@given(total=st.integers(1, 400), needs=st.lists(st.floats(0, 1000), min_size=1, max_size=8))
def test_works_get_what_they_need_and_an_even_part_of_the_rest(
    total: int, needs: list[float]
) -> None:
    def part(need: float) -> float:
        return entitled(total, works=len(needs), needs=need, all_needs=sum(needs))

    parts = [part(need) for need in needs]

    assert sum(parts) == pytest.approx(total)
    least = (1 - URGENT_SHARE) * total / len(needs)
    assert all(got >= least - 1e-6 for got in parts), "nobody stands still"
    if sum(needs) <= URGENT_SHARE * total:
        assert all(got >= need for got, need in zip(parts, needs, strict=True))
    assert sorted(parts) == [part(need) for need in sorted(needs)], "who needs more has more"


def test_a_batch_that_comes_late_gets_places_of_one_that_has_time() -> None:
    """Rows take 10 s; one batch has 24 h for 1,000 rows, the other 100 s for 200."""
    open_, left, left_s, row_s, total = [40, 0], [1000, 200], [86_400.0, 100.0], 10.0, 40

    for _ in range(60):
        due_per_s = [
            had / due_in_s(time_s, rows, max(1, had))
            for had, rows, time_s in zip(open_, left, left_s, strict=True)
        ]
        in_flight, works = sum(open_), max(1, sum(map(bool, open_)))
        open_ = [
            share(
                total,
                entitled(
                    total,
                    works=works,
                    needs=needed_places(rows / time_s, row_s),
                    all_needs=needed_places(max(sum(due_per_s), rows / time_s), row_s),
                ),
                open_=had,
                in_flight=in_flight,
                works=works,
            )
            for had, rows, time_s in zip(open_, left, left_s, strict=True)
        ]

    assert open_[1] >= 20, "200 rows of 10 s in 100 s"
    assert 5 <= open_[0] <= 20
    assert sum(open_) <= total + 2


def test_an_offer_counts_the_replicas_that_serve() -> None:
    hosts = [
        REPLICA,
        {**REPLICA, "awake_model": "b"},
        {**REPLICA, "phase": "swapping"},
        {**REPLICA, "reachable": False},
        {"host": "never seen", "reachable": False, "trouble": "?"},
    ]
    assert offer_of(msgspec.json.encode({"hosts": hosts}), "a") == Offer(replicas=1, slots=8)
    batch = {"slots": 2, "slots_at_rest": 7, "in_flight": 9, "works": 3, "due_per_s": 0.5}
    told = {"name": "a", "batch": batch}
    page = {"hosts": hosts, "models": [told, {"name": "b"}]}
    assert offer_of(msgspec.json.encode(page), "a") == Offer(
        replicas=1, slots=7, in_flight=9, works=3, due_per_s=0.5
    )
    assert offer_of(b"<html>", "a").trouble

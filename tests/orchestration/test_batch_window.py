"""How many requests a run may have open: its window, and its share of what there is."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.batch.offers import Offer, offer_of
from orchestration.batch.window import Window, places, share
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
        shares = [share(total, open_=had, in_flight=in_flight, works=works) for had in open_]
        open_ = [min(left, part) for left, part in zip(rows, shares, strict=True)]

    even = total // runs
    assert min(total, sum(rows)) <= sum(open_) <= total + 2 * runs
    assert all(had >= min(left, even) for left, had in zip(rows, open_, strict=True))
    if runs == 1:
        assert shares == [total]


def test_an_offer_counts_the_replicas_that_serve() -> None:
    hosts = [
        REPLICA,
        {**REPLICA, "awake_model": "b"},
        {**REPLICA, "phase": "swapping"},
        {**REPLICA, "reachable": False},
        {"host": "never seen", "reachable": False, "trouble": "?"},
    ]
    assert offer_of(msgspec.json.encode({"hosts": hosts}), "a") == Offer(replicas=1, slots=8)
    told = {"name": "a", "batch": {"slots": 2, "slots_at_rest": 7, "in_flight": 9, "works": 3}}
    page = {"hosts": hosts, "models": [told, {"name": "b"}]}
    assert offer_of(msgspec.json.encode(page), "a") == Offer(
        replicas=1, slots=7, in_flight=9, works=3
    )
    assert offer_of(b"<html>", "a").trouble

"""The planner's benchmark: its worlds are valid and its rows carry the targets."""

from benchmarks.plan.rows import rows_of
from benchmarks.plan.timing import SIZES, Size, Timed, measure_size
from benchmarks.plan.world import worlds


def test_worlds_are_the_same_for_the_same_seed() -> None:
    assert dict(worlds(20, 5)) == dict(worlds(20, 5))


def test_every_situation_is_timed() -> None:
    timed = measure_size(Size(20, 5))

    assert [one.situation for one in timed] == [
        "steady",
        "shift",
        "hosts lost",
        "start",
        "start with shared hosts",
    ]
    assert all(one.seconds > 0 for one in timed)


def test_the_slowest_situation_is_held_against_the_limit() -> None:
    rows = rows_of(Size(1000, 50, limit_s=0.2), [Timed("a", 0.1, 3), Timed("b", 0.3, 9)])

    assert [row.met for row in rows if row.target is not None] == [False]


def test_both_sizes_that_plans_are_promised_for_have_a_limit() -> None:
    assert {(s.hosts, s.models, s.limit_s) for s in SIZES if s.limit_s is not None} == {
        (1_000, 50, 0.2),
        (10_000, 100, 3.0),
    }

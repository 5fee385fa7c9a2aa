"""Hosts to grants: the cheapest way there is, and no more moves than needed."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from orchestration.allocation.choosing.room import Room
from orchestration.allocation.placing import assignment
from orchestration.allocation.placing.assignment import assign
from orchestration.allocation.placing.matching import Grant
from orchestration.allocation.placing.move_cost import IMPOSSIBLE_S, MoveCost
from orchestration.allocation.placing.swap_cost import assumed_swap_cost
from orchestration.allocation.pool import Place
from serving.wire import Tier

MODELS = ["a", "b", "c"]
GRANTS: list[Grant] = [("a",), ("b",), ("c",), ("a", "b"), ("b", "c")]
TIERS: list[Tier] = ["asleep", "parked", "disk"]
COST = MoveCost(assumed_swap_cost)


def a_place(
    number: int,
    grant: Grant,
    *,
    tiers: dict[str, Tier] | None = None,
    interactive: int = 0,
    excluded: dict[str, str] | None = None,
) -> Place:
    return Place(
        host=f"host-{number}",
        model=grant[0] if grant else None,
        movable=True,
        serves=bool(grant),
        pinned_because=None,
        grant=grant,
        tiers=tiers or {},
        interactive=interactive,
        excluded=excluded or {},
    )


def assigned(pool: list[Place], wanted: list[Grant]) -> list[frozenset[str]]:
    """The grant of every host afterwards, in the order of the pool."""
    found = assign(pool, wanted, COST)
    return [frozenset(found.get(place.host, place.grant)) for place in pool]


pools = st.lists(
    st.builds(
        lambda grant, tiers, busy: (grant, dict(zip(MODELS, tiers, strict=True)), busy),
        st.sampled_from(GRANTS),
        st.tuples(*[st.sampled_from(TIERS)] * 3),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=5,
).map(
    lambda drawn: [
        a_place(number, grant, tiers=tiers, interactive=busy)
        for number, (grant, tiers, busy) in enumerate(drawn)
    ]
)


@given(pools, st.data())
def test_every_wanted_grant_is_given_to_some_host(pool: list[Place], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.sampled_from(GRANTS), min_size=len(pool), max_size=len(pool)))

    assert sorted(map(sorted, assigned(pool, wanted))) == sorted(map(sorted, wanted))


@given(pools, st.data())
def test_of_hosts_that_may_change_the_cheapest_do(pool: list[Place], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.sampled_from(GRANTS), min_size=len(pool), max_size=len(pool)))

    def total_s(grants: tuple[Grant, ...]) -> float:
        return sum(COST.grants_s(p, [g])[0] for p, g in zip(pool, grants, strict=True))

    def kept(grants: tuple[Grant, ...]) -> int:
        return sum(set(p.grant) == set(g) for p, g in zip(pool, grants, strict=True))

    found = assign(pool, wanted, COST)
    chosen = tuple(found.get(place.host, place.grant) for place in pool)
    ways = set(permutations(wanted))
    most = max(kept(way) for way in ways)

    assert kept(chosen) == most
    assert total_s(chosen) <= min(total_s(way) for way in ways if kept(way) == most) + 1e-6


def test_a_shared_host_keeps_its_grant_whatever_it_has_awake() -> None:
    pool = [a_place(0, ("b", "a")), a_place(1, ("a",))]

    assert assign(pool, [("a", "b"), ("a",)], COST) == {}


def test_a_host_whose_model_is_in_the_new_grant_is_given_it_before_others() -> None:
    pool = [a_place(0, ("c",)), a_place(1, ("b",), interactive=9), a_place(2, ("a",))]

    assert assign(pool, [("c",), ("b", "c"), ("a",)], COST) == {"host-1": ("b", "c")}


def test_large_problems_are_solved_in_parts_and_every_wish_comes_true(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(assignment, "LARGE", 10)
    pool = [a_place(number, GRANTS[number % 2], tiers={"c": "asleep"}) for number in range(60)]
    wanted: list[Grant] = [("c",)] * 45 + [("a",)] * 15

    assert sorted(map(sorted, assigned(pool, wanted))) == sorted(map(sorted, wanted))


kinds = st.lists(
    st.sets(st.sampled_from(MODELS), max_size=2).map(lambda names: dict.fromkeys(names, "no")),
    min_size=1,
    max_size=5,
)


@given(kinds, st.lists(st.sampled_from(GRANTS), max_size=6))
def test_room_is_there_as_long_as_hosts_can_be_found_for_all(
    excluded: list[dict[str, str]], grants: list[Grant]
) -> None:
    hosts = [a_place(number, (), excluded=names) for number, names in enumerate(excluded)]
    room, taken = Room(hosts), []

    for grant in grants:
        fits = _all_fit(hosts, [*taken, grant])
        assert room.take(grant) == fits
        if fits:
            taken.append(grant)


@given(kinds, st.lists(st.sampled_from(GRANTS), min_size=1, max_size=5))
def test_what_is_released_can_be_taken_again(
    excluded: list[dict[str, str]], grants: list[Grant]
) -> None:
    room = Room([a_place(number, (), excluded=names) for number, names in enumerate(excluded)])

    for grant in [grant for grant in grants if room.take(grant)]:
        room.release(grant)
        assert room.take(grant)


def _all_fit(hosts: list[Place], grants: list[Grant]) -> bool:
    return len(grants) <= len(hosts) and any(
        all(COST.grants_s(h, [g])[0] < IMPOSSIBLE_S for h, g in zip(way, grants, strict=False))
        for way in permutations(hosts)
    )

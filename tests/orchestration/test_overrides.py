"""What operators' overrides do to a plan, as a specification."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from analytics.traffic import ModelTraffic
from orchestration.allocation.operators.overrides import (
    Freeze,
    Override,
    Pin,
    Replicas,
    active,
    changes,
)
from orchestration.allocation.planner import propose
from orchestration.allocation.pool import held_counts, places
from serving.config import Fleet
from tests.orchestration.building import a_fleet, a_model, a_state, traffic
from tests.orchestration.test_planner import NOW, moved, plan
from tests.orchestration.test_planner_properties import States, situations


def pin(host: str, *grant: str, until: float = NOW + 60, made_at: float = NOW - 5) -> Pin:
    return Pin(host=host, grant=grant, made_at=made_at, until=until, by="anna", note="a try")


def freeze(until: float = NOW + 60) -> Freeze:
    return Freeze(made_at=NOW - 5, until=until, by="anna")


def held(model: str, count: int, until: float = NOW + 60) -> Replicas:
    return Replicas(model=model, count=count, made_at=NOW - 5, until=until, by="anna")


AB = a_fleet([a_model("a", least=1), a_model("b")], hosts=2)


def test_a_pinned_host_is_brought_to_its_model_and_the_reason_says_who_and_why() -> None:
    result = plan(AB, {"host-0": "a", "host-1": "a"}, overrides=[pin("host-1", "b")])

    assert moved(result) == {"host-1": "b"}
    assert "pinned to b until 1970-01-01 00:17:40 UTC (anna: a try)" in result.moves[0].reason
    assert result.replicas == {"a": 1, "b": 1}


def test_a_pinned_host_stays_however_busy_others_are() -> None:
    waits = [traffic("b", waiting=50)]

    result = plan(AB, {"host-0": "a", "host-1": "a"}, waits, overrides=[pin("host-1", "a")])

    assert moved(result) == {"host-0": "b"}
    assert "is pinned to a" in result.immovable["host-1"]


def test_a_pin_takes_a_host_from_a_minimum_and_another_makes_up_for_it() -> None:
    fleet = a_fleet([a_model("a", least=1), a_model("b"), a_model("c")], hosts=2)

    result = plan(fleet, {"host-0": "a", "host-1": "c"}, overrides=[pin("host-0", "b")])

    assert moved(result) == {"host-0": "b", "host-1": "a"}


def test_a_host_pinned_to_several_models_may_have_them_all_and_keeps_the_one_it_has() -> None:
    result = plan(AB, {"host-0": "a", "host-1": "a"}, overrides=[pin("host-1", "b", "a")])

    assert moved(result) == {}
    assert result.grants["host-1"] == ("a", "b")
    assert result.regrants == ("host-1",)


def test_a_pinned_host_that_swaps_or_is_away_is_left_alone() -> None:
    states = {"host-0": None, "host-1": a_state("host-1", "a", phase="swapping", swap_target="b")}

    result = plan(AB, states, overrides=[pin("host-0", "b"), pin("host-1", "a")])

    assert moved(result) == {}


def test_frozen_hosts_stay_and_the_plan_says_so() -> None:
    waits = [traffic("b", waiting=5)]

    result = plan(AB, {"host-0": "a", "host-1": "a"}, waits, overrides=[freeze()])

    assert moved(result) == {}
    assert set(result.immovable) == {"host-0", "host-1"}
    assert "is frozen until" in result.verdicts["b"]


def test_a_minimum_is_restored_in_spite_of_a_freeze_and_nothing_else_moves() -> None:
    fleet = a_fleet([a_model("a", least=1), a_model("b"), a_model("c")], hosts=4)
    states = {"host-0": None, "host-1": "b", "host-2": "b", "host-3": "b"}

    result = plan(fleet, states, [traffic("c", waiting=5)], overrides=[freeze()])

    assert list(moved(result).values()) == ["a"]
    assert "its minimum is 1" in result.moves[0].reason


def test_a_held_model_has_that_many_replicas_whatever_is_asked_of_it() -> None:
    fleet = a_fleet([a_model("a", most=1), a_model("b")], hosts=3)
    busy = [traffic("b", tokens_per_s=1000, running=8)]

    more = plan(
        fleet, dict.fromkeys(["host-0", "host-1", "host-2"], "b"), busy, overrides=[held("a", 2)]
    )
    none = plan(
        fleet, dict.fromkeys(["host-0", "host-1", "host-2"], "b"), busy, overrides=[held("b", 0)]
    )

    assert more.replicas == {"a": 2, "b": 1}
    assert "a is held at 2 replicas until" in more.verdicts["a"]
    assert none.replicas["b"] < 3


def test_what_has_ended_counts_no_more_and_the_later_of_two_counts() -> None:
    ended, first, second = pin("h", "a", until=NOW), pin("h", "a"), pin("h", "b", made_at=NOW - 1)

    assert active([ended], NOW) == ()
    assert active([second, first], NOW) == (second,)


def test_an_override_of_what_the_fleet_file_lost_counts_no_more() -> None:
    lost: list[Override] = [pin("host-9", "a"), pin("host-0", "gone"), held("gone", 1)]

    result = plan(AB, {"host-0": "a", "host-1": "a"}, overrides=lost)

    assert result.overrides == ()
    assert moved(result) == {}


def test_overrides_that_come_and_end_are_told_apart() -> None:
    assert changes([], [freeze()])[0].startswith("override: planned moves are frozen")
    assert changes([freeze()], [])[0].startswith("no override any more: planned moves are frozen")
    assert changes([freeze()], [freeze()]) == []
    assert changes([freeze()], [freeze(until=NOW + 90)]) == [f"override: {freeze(NOW + 90).words}"]


@st.composite
def overrides_of(draw: st.DrawFn, fleet: Fleet) -> list[Override]:
    models = [model.name for model in fleet.models]
    pins = [
        pin(host.name, draw(st.sampled_from(models)))
        for host in fleet.hosts
        if draw(st.integers(0, 2)) == 0
    ]
    counts = [held(m, draw(st.integers(0, 4))) for m in models if draw(st.integers(0, 3)) == 0]
    return [*pins, *counts]


@st.composite
def shared_situations(draw: st.DrawFn) -> tuple[Fleet, States, list[ModelTraffic]]:
    """Situations of a fleet whose hosts may be shared, some of which are."""
    fleet, states, rows = draw(situations())
    allocation = fleet.allocation.model_copy(update={"time_sharing": True})
    models = [model.name for model in fleet.models]
    for name, state in states.items():
        if state is not None and state.awake_model in models:
            others = draw(st.lists(st.sampled_from(models), unique=True, max_size=3))
            grant = tuple(dict.fromkeys([state.awake_model, *others]))
            states[name] = replace(state, grant=grant if len(grant) > 1 else ())
    return fleet.model_copy(update={"allocation": allocation}), states, rows


@given(situations() | shared_situations(), st.data())
def test_a_pinned_host_has_its_grant_after_every_plan(
    situation: tuple[Fleet, States, list],
    data: st.DataObject,  # type: ignore[type-arg]
) -> None:
    fleet, states, rows = situation
    overrides = data.draw(overrides_of(fleet))

    result = propose(fleet, states, rows, now=NOW, overrides=overrides)

    for override in overrides:
        state = states[override.name] if isinstance(override, Pin) else None
        if isinstance(override, Pin) and state is not None and state.phase == "serving":
            assert result.grants[override.host] == override.grant
    assert len({move.host for move in result.moves}) == len(result.moves)


@given(situations() | shared_situations())
def test_a_freeze_gives_hosts_to_models_below_their_minimum_only(
    situation: tuple[Fleet, States, list[ModelTraffic]],
) -> None:
    fleet, states, rows = situation
    seen = plan(fleet, states, rows)
    pool = places(fleet, states, seen.demand, now=NOW, swapped_at={})
    before = held_counts(pool)
    least = {model.name: model.min_replicas for model in fleet.models}

    result = propose(fleet, states, rows, now=NOW, overrides=[freeze()])

    moved_hosts = {move.host for move in result.moves}
    for move in result.moves:
        assert before[move.to_model] < least[move.to_model]
        assert move.grant == (move.to_model,)
    for place in pool:
        if place.host not in moved_hosts and place.serves:
            assert set(result.grants[place.host]) == set(place.grant) or (
                before[place.grant[0]] < least[place.grant[0]]
            )

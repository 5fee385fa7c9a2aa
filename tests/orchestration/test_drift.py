"""How hosts differ from what the last plan said."""

from msgspec.structs import replace

from orchestration.allocation.plan import Move, Plan
from orchestration.allocation.reading.drift import host_drift
from serving.wire import HostState
from tests.orchestration.building import a_state


def plan(*moves: Move, **grants: tuple[str, ...]) -> Plan:
    return Plan(
        plan_id=4,
        made_at=0,
        trigger="",
        moves=moves,
        grants=grants,
        replicas={},
        verdicts={},
        demand={},
    )


def host(awake: str | None, *grant: str, **fields) -> HostState:
    return replace(a_state("h", awake, **fields), grant=grant)


def drift(before: Plan | None, state: HostState | None, now: Plan | None = None) -> list[str]:
    if now is None:
        now = plan(h=state.grant) if state is not None else plan(h=())
    return host_drift(before, now, {"h": state})


def test_a_host_that_has_switched_within_its_grant_is_as_it_should_be() -> None:
    assert drift(plan(h=("a", "b")), host("b", "a", "b")) == []
    assert drift(plan(h=("a", "b")), host("a", "b", "a")) == []


def test_a_host_that_switches_just_now_is_as_it_should_be() -> None:
    before = plan(h=("a", "b"))
    assert drift(before, host(None, "a", "b", phase="swapping", swap_target="b")) == []


def test_a_model_outside_the_grant_is_drift() -> None:
    assert drift(plan(h=("a", "b")), host("c", "a", "b")) == ["h serves c, plan 4 says a, b"]


def test_a_host_with_another_grant_is_drift() -> None:
    before = plan(h=("a", "b"))
    assert drift(before, host("a", "a")) == ["h has not been told that plan 4 grants it a, b"]


def test_a_host_that_is_away_or_comes_back_is_drift() -> None:
    assert drift(plan(h=("a", "b")), None) == ["h does not serve a, b any more"]
    assert drift(plan(h=()), host("a", "a")) == ["h is back with a"]
    assert drift(None, host("a", "a")) == ["there is no plan yet"]


def test_a_move_that_the_planner_would_make_now_is_no_drift() -> None:
    move = Move(host="h", from_model="a", to_model="b", reason="b waits", grant=("b",))
    assert drift(plan(h=("a",)), host("a", "a"), plan(move, h=("b",))) == []

"""How a plan keeps away from what failed, as a specification."""

import pytest

from orchestration.allocation.operators.setbacks import LONGEST_PAUSE_S, Setback, avoided
from tests.orchestration.building import a_fleet, a_model, traffic
from tests.orchestration.test_overrides import pin
from tests.orchestration.test_planner import NOW, moved, plan

TWO_A = {"host-0": "a", "host-1": "a"}
B_WAITS = [traffic("b", waiting=3)]
FLEET = a_fleet([a_model("a"), a_model("b")], hosts=2)


def failed(host: str, model: str = "b", *, times: int = 1, ago_s: float = 1.0) -> Setback:
    return Setback(host=host, model=model, times=times, last_at=NOW - ago_s)


def test_another_host_is_given_the_model_that_could_not_be_woken() -> None:
    for host, other in (("host-0", "host-1"), ("host-1", "host-0")):
        result = plan(FLEET, TWO_A, B_WAITS, avoided=avoided([failed(host)], NOW))

        assert moved(result) == {other: "b"}
        assert f"hotswap to b failed on {host}, again in 9 s" in result.verdicts["b"]


def test_the_same_host_is_tried_again_after_the_pause() -> None:
    fleet = a_fleet([a_model("a"), a_model("b")], hosts=1)

    for ago_s, expected in ((9.0, {}), (11.0, {"host-0": "b"})):
        setbacks = [failed("host-0", ago_s=ago_s)]
        result = plan(fleet, {"host-0": "a"}, B_WAITS, avoided=avoided(setbacks, NOW))
        assert moved(result) == expected


@pytest.mark.parametrize(("times", "pause_s"), [(1, 10), (2, 20), (3, 40), (9, LONGEST_PAUSE_S)])
def test_every_failure_doubles_the_pause_up_to_a_bound(times: int, pause_s: float) -> None:
    setback = failed("host-0", times=times, ago_s=0)

    assert avoided([setback], NOW + pause_s - 1).because("host-0", "b") is not None
    assert avoided([setback], NOW + pause_s + 1).because("host-0", "b") is None


def test_a_model_that_failed_on_two_hosts_disturbs_no_third() -> None:
    fleet = a_fleet([a_model("a"), a_model("b")], hosts=3)
    setbacks = [failed("host-0"), failed("host-1")]

    result = plan(fleet, TWO_A | {"host-2": "a"}, B_WAITS, avoided=avoided(setbacks, NOW))

    assert moved(result) == {}


def test_a_pinned_host_waits_too_and_says_why() -> None:
    result = plan(
        FLEET, TWO_A, avoided=avoided([failed("host-1")], NOW), overrides=[pin("host-1", "b")]
    )

    assert moved(result) == {}
    assert "hotswap to b failed on host-1" in result.immovable["host-1"]

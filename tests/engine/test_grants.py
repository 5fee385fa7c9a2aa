"""The models a host may have awake, as plans grant them, and switching among them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analytics.events import Swap
from serving.config import StateFolder
from serving.errors import PlanRefused
from serving.wire import (
    Finished,
    Grant,
    HandedBack,
    Standbys,
    SwapReport,
    SwitchCommand,
)
from tests.engine.asking import read, state, swap
from tests.fakes.engine import expected_tokens
from tests.fakes.host import FakeHost, ListSink, fake_fleet, running_host, wait_until


@pytest.fixture
def host(tmp_path: Path) -> Iterator[FakeHost]:
    fleet = fake_fleet(["a", "b", "c"], {"host-0": "a"})
    with running_host(fleet, StateFolder(tmp_path), "host-0") as running:
        yield running


def grant(host: FakeHost, plan_id: int, *models: str) -> None:
    with host.client() as client:
        client.grant(Grant(plan_id=plan_id, models=models))


def switch(host: FakeHost, expected: str, model: str, **fields: Any) -> SwapReport:
    with host.client() as client:
        return client.switch(
            SwitchCommand(
                model=model,
                expected_awake=expected,
                reason="requests wait",
                asked_by="a test",
                waited_s=0.5,
                **fields,
            )
        )


def test_a_host_shows_its_grant_and_keeps_it_over_a_restart(host: FakeHost) -> None:
    assert state(host).grant == ()
    grant(host, 4, "a", "b")
    assert (state(host).grant, state(host).plan_id) == (("a", "b"), 4)

    host.restart()

    assert (state(host).grant, state(host).plan_id) == (("a", "b"), 4)
    with pytest.raises(PlanRefused, match="older than plan 4"):
        grant(host, 3, "a")


def test_a_repeated_grant_changes_nothing_and_another_one_of_the_same_plan_is_refused(
    host: FakeHost,
) -> None:
    grant(host, 4, "a", "b")
    grant(host, 4, "a", "b")
    with pytest.raises(PlanRefused, match="plan 4 has granted a, b"):
        grant(host, 4, "a", "c")
    with pytest.raises(PlanRefused, match="no model 'z'"):
        grant(host, 5, "a", "z")
    assert state(host).grant == ("a", "b")


def test_a_host_switches_within_its_grant_and_records_who_asked(host: FakeHost) -> None:
    grant(host, 4, "a", "b")

    report = switch(host, "a", "b")

    assert (report.outcome, report.kind, report.plan_id) == ("committed", "switch", 4)
    assert read(host, "r", "b").end() == Finished("length")
    assert isinstance(host.sink, ListSink)
    (event,) = [event for event in host.sink.events if isinstance(event, Swap)]
    assert (event.kind, event.asked_by, event.waited_s) == ("switch", "a test", 0.5)


def test_a_restarted_host_goes_on_with_what_it_had_switched_to(host: FakeHost) -> None:
    grant(host, 4, "a", "b")
    switch(host, "a", "b")

    host.restart()

    assert state(host).awake_model == "b"


def test_a_switch_is_refused_outside_the_grant_and_when_it_comes_late(host: FakeHost) -> None:
    with pytest.raises(PlanRefused, match="'b' is outside the grant: nothing"):
        switch(host, "a", "b")
    grant(host, 4, "a", "b")
    with pytest.raises(PlanRefused, match="'c' is outside the grant: a, b"):
        switch(host, "a", "c")
    with pytest.raises(PlanRefused, match="'a' is awake, not 'b'"):
        switch(host, "b", "b")
    assert state(host).awake_model == "a"


def test_of_two_gateways_that_ask_at_once_one_is_refused(host: FakeHost) -> None:
    grant(host, 4, "a", "b", "c")
    switch(host, "a", "b")
    with pytest.raises(PlanRefused, match="'b' is awake, not 'a'"):
        switch(host, "a", "c")


def test_what_runs_is_handed_back_with_its_tokens(host: FakeHost) -> None:
    grant(host, 4, "a", "b")
    host.engines.gate.close()
    host.engines.gate.let(3)
    batch = read(host, "r", "a", request_class="batch", max_tokens=20)
    batch.until(lambda r: len(r.tokens) == 3)

    assert switch(host, "a", "b").handed_back == 1

    assert batch.end() == HandedBack("hotswap")
    host.engines.gate.open()
    switch(host, "b", "a")
    resumed = read(host, "r", "a", resumed_token_ids=batch.tokens, max_tokens=20)
    assert resumed.end() == Finished("length")
    assert batch.tokens + resumed.tokens == expected_tokens("a", [1, 2, 3], 20)


def test_a_plan_that_saw_the_model_before_a_switch_is_obeyed(host: FakeHost) -> None:
    grant(host, 4, "a", "b")
    switch(host, "a", "b")

    report = swap(host, "c", 5, expected_awake="a", grant=("c",))

    assert (report.outcome, report.kind) == ("committed", "planned")
    assert (state(host).awake_model, state(host).grant) == ("c", ("c",))


def test_a_hotswap_by_hand_out_of_the_grant_is_a_grant_of_that_model(host: FakeHost) -> None:
    grant(host, 4, "a", "b")
    swap(host, "c", 5)
    assert state(host).grant == ("c",)


def test_a_hotswap_within_the_grant_leaves_it_as_it_is(host: FakeHost) -> None:
    grant(host, 4, "a", "b")
    swap(host, "b", 5)
    assert (state(host).grant, state(host).plan_id) == (("a", "b"), 5)


def test_a_hotswap_whose_grant_is_without_its_model_is_refused(host: FakeHost) -> None:
    with pytest.raises(PlanRefused, match="'c' is not in the grant"):
        swap(host, "c", 5, grant=("a", "b"))


def test_a_grant_puts_an_end_to_older_plans_hotswaps(host: FakeHost) -> None:
    grant(host, 4, "a", "b")
    with pytest.raises(PlanRefused, match="plan 3 is older than plan 4"):
        swap(host, "b", 3)
    assert swap(host, "b", 4).outcome == "committed"


def test_a_switch_does_not_undo_what_a_plan_is_remembered_for(host: FakeHost) -> None:
    first = swap(host, "b", 4, grant=("b", "c"))
    switch(host, "b", "c")
    assert swap(host, "b", 4) == first
    assert state(host).awake_model == "c"


def test_a_switch_cannot_be_cancelled_as_its_plan_can(host: FakeHost) -> None:
    grant(host, 4, "a", "b")
    switch(host, "a", "b")
    with host.client() as client, pytest.raises(PlanRefused, match="no hotswap of plan 4"):
        client.cancel(4)


def test_a_switch_that_fails_leaves_the_old_model_awake(host: FakeHost) -> None:
    grant(host, 4, "a", "b")
    host.engines.fail_next["b", "start"] = "no memory left"

    report = switch(host, "a", "b")

    assert report.outcome == "rolled_back"
    assert (state(host).awake_model, state(host).phase) == ("a", "serving")


def test_the_models_of_a_grant_of_several_are_standbys_before_all_others(host: FakeHost) -> None:
    with host.client() as client:
        client.want(Standbys(plan_id=4, models=["c"]))
    grant(host, 4, "a", "b")
    assert state(host).standbys == ["a", "b", "c"]
    grant(host, 5, "a")
    assert state(host).standbys == ["c"]


def test_a_shared_host_says_how_long_a_switch_takes(host: FakeHost) -> None:
    grant(host, 4, "a")
    assert state(host).wake_s == {}
    grant(host, 5, "a", "b")
    wait_until(lambda: state(host).wake_s.keys() == {"a", "b"})
    assert all(seconds >= 0 for seconds in state(host).wake_s.values())

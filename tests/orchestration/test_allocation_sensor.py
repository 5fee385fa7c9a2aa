"""The allocation sensor against real host applications and a real store."""

import threading
import time
from typing import Any

import dagster as dg
import pytest
from msgspec.structs import replace

from orchestration.allocation.operators.override_record import OverrideRecord
from orchestration.allocation.operators.overrides import Freeze, Pin
from orchestration.allocation.plan import Plan
from orchestration.allocation.reading.record import PlanRecord
from orchestration.allocation.reading.snapshot import plan_from, take_snapshot
from orchestration.allocation_job import allocation_job
from orchestration.allocation_sensor import allocation_sensor
from orchestration.asking import Cursor
from orchestration.hotswaps import grants
from orchestration.names import ALLOCATION_TAGS, TRIGGER_TAG, serving_key
from serving.wire import SwapCommand
from tests.analytics.conftest import StoreProcess
from tests.orchestration.conftest import AHEAD_S, Rig, RigMaker

AB: dict[str, dict[str, int]] = {"a": {"min_replicas": 1, "max_replicas": 2}, "b": {}}
TWO_A = {"h-0": "a", "h-1": "a"}


@pytest.fixture
def instance() -> Any:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def tick(
    rig: Rig, instance: dg.DagsterInstance, cursor: str | None = None, *, tick_s: float = 0.3
) -> dg.SensorResult:
    sensor = allocation_sensor(allocation_job(rig.fleet), tick_s=tick_s)
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"installation": rig.installation}
    )
    result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def settle(rig: Rig) -> Plan:
    """Record a plan for what is there and tell the hosts, as a run would."""
    plan = plan_from(rig.fleet, take_snapshot(rig.fleet, rig.state), trigger="a test")
    PlanRecord.of(rig.state).write(plan)
    for host, grant in grants(plan).items():
        with rig.hosts[host].client() as client:
            client.grant(grant)
    return plan


def reason(result: dg.SensorResult) -> str:
    assert result.skip_reason is not None
    return result.skip_reason.skip_message or ""


def trigger(result: dg.SensorResult) -> str:
    assert result.run_requests is not None
    assert len(result.run_requests) == 1
    return result.run_requests[0].tags[TRIGGER_TAG]


def test_the_first_tick_asks_for_the_first_plan(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig(AB, TWO_A)

    assert "no plan yet" in trigger(tick(rig, instance))


def test_a_content_fleet_is_left_alone_and_the_tick_says_why(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig(AB, TWO_A)
    settle(rig)

    result = tick(rig, instance)

    assert not result.run_requests
    assert "nothing to move" in reason(result)
    assert "a stays at 2 replicas" in reason(result)


def test_a_tick_without_the_traffic_store_goes_on_and_says_so(
    make_rig: RigMaker, instance: dg.DagsterInstance, traffic_store: StoreProcess
) -> None:
    rig = make_rig(AB, TWO_A)
    settle(rig)
    traffic_store.stop(9)
    try:
        result = tick(rig, instance)
    finally:
        traffic_store.start()
    assert "nothing to move" in reason(result)
    assert "Without the traffic store" in reason(result)


def test_requests_that_begin_to_wait_end_the_tick_at_once(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig(AB, TWO_A)
    settle(rig)
    later = threading.Timer(0.5, rig.waiting, ("b", 2))
    later.start()

    result = tick(rig, instance, tick_s=120)

    later.join()
    assert "b has 2 interactive requests waiting and no replica" in trigger(result)


def test_a_host_that_goes_away_and_comes_back_is_planned_for(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig(AB, TWO_A)
    settle(rig)
    rig.hosts["h-1"].kill()

    away = tick(rig, instance, tick_s=120)
    settle(rig)
    rig.hosts["h-1"].restart()
    back = tick(rig, instance, tick_s=120)

    assert "h-1 does not serve a any more" in trigger(away)
    assert "h-1 is back with a" in trigger(back)


def test_nothing_is_asked_for_beside_a_run_that_is_under_way(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig(AB, TWO_A)
    run = instance.create_run_for_job(dg.job(name="other")(lambda: None), tags=ALLOCATION_TAGS)

    result = tick(rig, instance)

    assert not result.run_requests
    assert f"allocation run {run.run_id} is under way" in reason(result)


def test_the_same_situation_is_not_asked_for_again_at_once(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig(AB, TWO_A)
    first = tick(rig, instance)
    just_now = replace(Cursor.parse(first.cursor), asked_at=time.time() + AHEAD_S)

    second = tick(rig, instance, just_now.text())

    assert first.run_requests
    assert not second.run_requests
    assert "asked 1 times already" in reason(second)


def test_a_tick_that_is_evaluated_again_asks_for_the_same_run(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig(AB, TWO_A)
    settle(rig)
    rig.waiting("b", 2)

    first, again = tick(rig, instance), tick(rig, instance)

    assert first.run_requests
    assert again.run_requests
    assert first.run_requests[0].run_key == again.run_requests[0].run_key


def test_a_sensor_that_was_away_picks_up_what_the_fleet_became(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig(AB, TWO_A)
    settle(rig)
    before = tick(rig, instance)
    with rig.hosts["h-0"].client() as client:
        client.swap(SwapCommand(model="b", plan_id=7, reason="by hand, with nobody looking"))
    rig.hosts["h-1"].restart()

    result = tick(rig, instance, before.cursor)

    assert "h-0 serves b, plan 1 says a" in trigger(result)


@pytest.mark.usefixtures("the_store_is_there")
def test_a_look_that_asks_for_nothing_is_recorded_with_its_reasons(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig(AB, TWO_A)
    settle(rig)

    result = tick(rig, instance)
    tick(rig, instance, result.cursor)

    with rig.store.reader() as reader:
        rows = reader.query("FROM decision_history").rows(named=True)
    assert len(rows) == 1
    assert rows[0]["kind"] == "evaluation"
    assert rows[0]["plan_id"] == 1
    assert "a stays at 2 replicas" in rows[0]["because"]


def test_overrides_are_planned_for_when_they_come_and_when_they_end(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig(AB, TWO_A)
    settle(rig)
    record, now = OverrideRecord.of(rig.state), time.time()
    pin = Pin(host="h-1", grant=("a",), made_at=now, until=now + 3600, by="anna", note="a try")
    threading.Timer(0.5, record.add, (pin,), {"now": now}).start()

    came = tick(rig, instance, tick_s=120)
    settle(rig)
    quiet = tick(rig, instance)
    record.add(replace(pin, made_at=now + 1, until=now), now=now - 1)
    ended = tick(rig, instance)

    assert "override: h-1 is pinned to a until" in trigger(came)
    assert "(anna: a try)" in reason(quiet)
    assert "no override any more: h-1 is pinned to a" in trigger(ended)


def test_a_frozen_fleet_lets_requests_wait_and_says_so(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig(AB, TWO_A)
    now = time.time()
    OverrideRecord.of(rig.state).add(Freeze(made_at=now, until=now + 3600, by="anna"), now=now)
    settle(rig)
    rig.waiting("b", 2)

    result = tick(rig, instance)

    assert not result.run_requests
    assert "planned moves are frozen until" in reason(result)


def test_serving_assets_are_observed_when_they_change_and_not_at_every_tick(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig(AB, TWO_A)
    settle(rig)

    first = tick(rig, instance)
    second = tick(rig, instance, first.cursor)
    rig.hosts["h-1"].kill()
    settle(rig)
    third = tick(rig, instance, second.cursor)

    def observed(result: dg.SensorResult) -> dict[dg.AssetKey, Any]:
        return {event.asset_key: event.metadata["replicas"].value for event in result.asset_events}

    assert observed(first) == {serving_key("a"): 2, serving_key("b"): 0}
    assert observed(second) == {}
    assert observed(third) == {serving_key("a"): 1, serving_key("b"): 0}

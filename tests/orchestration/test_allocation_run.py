"""Allocation runs against real host applications over fake engines."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dagster as dg
import pytest

from orchestration.allocation.operators.override_record import OverrideRecord
from orchestration.allocation.operators.overrides import Pin
from orchestration.allocation.plan import Plan
from orchestration.allocation.reading.record import PlanRecord
from orchestration.allocation_turn import AllocationTurn
from orchestration.assembly import build_definitions
from orchestration.errors import AllocationUnderWay
from orchestration.hotswaps import Hotswaps, orders
from orchestration.names import PLAN, TRAFFIC, TRIGGER_TAG, serving_key
from serving.wire import Grant, SwapCommand
from tests.fakes.engine import FakeEngines, Step
from tests.fakes.host import wait_until
from tests.orchestration.conftest import Rig, RigMaker


@pytest.fixture
def instance() -> Any:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def allocate(rig: Rig, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    job = build_definitions(rig.installation).resolve_job_def("allocation")
    return job.execute_in_process(
        instance=instance, raise_on_error=False, tags={TRIGGER_TAG: "a test"}
    )


def materialized(result: dg.ExecuteInProcessResult) -> set[dg.AssetKey | None]:
    return {event.asset_key for event in result.get_asset_materialization_events()}


def metadata(result: dg.ExecuteInProcessResult, key: dg.AssetKey) -> dict[str, Any]:
    for event in result.get_asset_materialization_events():
        if event.asset_key == key:
            return dict(event.materialization.metadata)
    raise AssertionError(f"{key} was not materialized")


def planned(rig: Rig) -> Plan:
    plan = PlanRecord.of(rig.state).read()
    assert plan is not None
    return plan


def has_logged(instance: dg.DagsterInstance, text: str) -> bool:
    time.sleep(0.2)  # runs use the same storage
    entries = [entry for run in instance.get_runs() for entry in instance.all_logs(run.run_id)]
    return any(text in entry.user_message for entry in entries)


def moves(result: dg.ExecuteInProcessResult) -> list[dg.TableRecord]:
    return list(metadata(result, PLAN)["moves"].records)


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {
        check.asset_key.path[-1]: check.passed for check in result.get_asset_check_evaluations()
    }


def failure_text(result: dg.ExecuteInProcessResult) -> str:
    failed = result.failure_data_for_node("serving.verify")
    assert failed is not None
    assert failed.user_failure_data is not None
    return failed.user_failure_data.description or ""


def test_a_run_swaps_a_model_in_and_shows_why(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig({"a": {"min_replicas": 1, "max_replicas": 2}, "b": {}}, {"h-0": "a", "h-1": "a"})
    rig.waiting("b", 3)

    result = allocate(rig, instance)

    assert result.success
    assert sorted(str(model) for model in rig.awake().values()) == ["a", "b"]
    assert materialized(result) == {TRAFFIC, PLAN, serving_key("a"), serving_key("b")}
    moves = metadata(result, PLAN)["moves"].records
    assert [(row.data["from"], row.data["to"]) for row in moves] == [("a", "b")]
    assert "3 interactive requests waiting" in moves[0].data["reason"]
    verdicts = metadata(result, PLAN)["verdicts"].records
    assert [(row.data["model"], row.data["replicas"]) for row in verdicts] == [("a", 1), ("b", 1)]
    assert metadata(result, serving_key("b"))["replicas"].value == 1
    assert checks(result) == {"a": True, "b": True}


def test_a_run_tells_every_host_what_to_have_ready(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    models = {"a": {"min_replicas": 1, "max_replicas": 1}, "b": {"min_replicas": 1}}
    rig = make_rig(models, {"h-0": "a", "h-1": "a"})

    result = allocate(rig, instance)

    assert result.success
    for name, host in rig.hosts.items():
        other = {"a": "b", "b": "a"}[rig.awake()[name] or ""]
        with host.client() as client:
            assert client.state().standbys == [other]


def test_a_run_lets_models_that_are_rarely_asked_for_share_a_host_and_then_moves_nothing_for_them(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    models = {"a": {"min_replicas": 1, "max_replicas": 2}, "b": {}, "c": {}}
    rig = make_rig(models, {"h-0": "a", "h-1": "b"}, time_sharing=True)

    first = allocate(rig, instance)
    rig.waiting("c", 3)
    second = allocate(rig, instance)

    assert [first.success, second.success] == [True, True]
    assert [moves(first), moves(second)] == [[], []]
    assert rig.awake() == {"h-0": "a", "h-1": "b"}
    grants = {name: set(grant) for name, grant in rig.grants().items()}
    assert grants == {"h-0": {"a"}, "h-1": {"a", "b", "c"}}


def test_a_run_tells_every_host_its_grant_also_when_nothing_moves(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig({"a": {"min_replicas": 1}, "b": {"min_replicas": 1}}, {"h-0": "a", "h-1": "b"})

    assert allocate(rig, instance).success
    assert allocate(rig, instance).success

    assert rig.grants() == {"h-0": ("a",), "h-1": ("b",)}


def test_a_host_with_another_grant_is_told_the_plans(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig({"a": {"min_replicas": 1}, "b": {}}, {"h-0": "a"})
    with rig.hosts["h-0"].client() as client:
        client.grant(Grant(plan_id=1, models=("a", "b")))
    before = rig.hosts["h-0"].engines.log[:]

    assert allocate(rig, instance).success
    assert rig.grants() == {"h-0": ("a",)}, "no host is shared in this fleet"
    assert rig.hosts["h-0"].engines.log == before, "and nothing was swapped for it"


@pytest.mark.usefixtures("the_store_is_there")
def test_the_plan_is_recorded_in_the_store_and_for_the_next_plan(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig({"a": {"max_replicas": 2}, "b": {}}, {"h-0": "a", "h-1": "a"})
    rig.waiting("b", 1)

    result = allocate(rig, instance)

    with rig.store.reader() as reader:
        rows = reader.query("SELECT plan_id, trigger, run_id, replicas FROM plans").rows(named=True)
    assert [(row["plan_id"], row["trigger"], row["run_id"]) for row in rows] == [
        (1, "a test", result.run_id)
    ]
    last = PlanRecord.of(rig.state).read()
    assert last is not None
    assert last.plan_id == 1


def test_a_run_that_moves_nothing_materializes_no_serving_asset(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig({"a": {"min_replicas": 1}, "b": {}}, {"h-0": "a"})
    first = allocate(rig, instance)

    second = allocate(rig, instance)

    assert materialized(first) >= {serving_key("a"), serving_key("b")}
    assert second.success
    assert materialized(second) == {TRAFFIC, PLAN}
    assert checks(second) == {"a": True, "b": True}


def test_a_failed_hotswap_fails_the_run_after_the_others_were_made(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    models: dict[str, dict[str, int]] = {
        "a": {"max_replicas": 2},
        "b": {"min_replicas": 1},
        "c": {"min_replicas": 1},
    }
    rig = make_rig(models, {"h-0": "a", "h-1": "a"})
    for host in rig.hosts.values():
        host.engines.fail_always[("b", "start")] = "no memory left"

    result = allocate(rig, instance)

    assert not result.success
    assert sorted(str(model) for model in rig.awake().values()) == ["a", "c"]
    assert serving_key("c") in materialized(result)
    assert checks(result) == {"a": True, "b": False, "c": True}
    assert "no memory left" in failure_text(result)
    assert "See the host's log" in failure_text(result)


def test_a_run_goes_on_without_the_host_that_is_away(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig({"a": {"min_replicas": 1}, "b": {}}, {"h-0": "a", "h-1": "b"})
    rig.hosts.pop("h-0").kill()

    result = allocate(rig, instance)

    assert result.success
    assert rig.awake() == {"h-1": "a"}


def test_the_plan_after_a_failed_hotswap_gives_the_model_to_another_host(
    make_rig: RigMaker, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.allocation.operators.setbacks.PAUSE_S", 300.0)
    rig = make_rig({"a": {"max_replicas": 2}, "b": {"min_replicas": 1}}, {"h-0": "a", "h-1": "a"})
    rig.hosts["h-0"].engines.fail_always[("b", "start")] = "no memory left"
    rig.hosts["h-1"].engines.fail_always[("b", "start")] = "no memory left"

    failed = allocate(rig, instance)
    rig.record_swaps()
    (tried,) = [move.host for move in planned(rig).moves]
    other = ({"h-0", "h-1"} - {tried}).pop()
    rig.hosts[other].engines.fail_always.clear()
    again = allocate(rig, instance)

    assert not failed.success
    assert again.success
    assert rig.awake() == {tried: "a", other: "b"}


def test_hosts_outside_their_grant_are_brought_back(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig({"a": {"min_replicas": 1}, "b": {"min_replicas": 1}}, {"h-0": "a", "h-1": "b"})
    assert allocate(rig, instance).success
    with rig.hosts["h-1"].client() as client:
        client.swap(SwapCommand(model="a", plan_id=9, reason="by hand"))

    result = allocate(rig, instance)

    assert result.success
    assert sorted(str(model) for model in rig.awake().values()) == ["a", "b"]


class SlowEngines(FakeEngines):
    """Engines of other models than a start when they are let."""

    def __init__(self, let: threading.Event) -> None:
        super().__init__()
        self._let = let

    def check(self, model: str, step: Step) -> None:
        if step == "start" and model != "a":
            assert self._let.wait(120)
        super().check(model, step)


def test_an_allocation_run_decides_when_the_one_before_has_ended(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    let = threading.Event()
    rig = make_rig(
        {"a": {}, "b": {"min_replicas": 1}}, {"h-0": "a"}, engines={"h-0": SlowEngines(let)}
    )

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(allocate, rig, instance)
        wait_until(lambda: PlanRecord.of(rig.state).read() is not None)
        second = pool.submit(allocate, rig, instance)
        wait_until(lambda: has_logged(instance, "waits for allocation run"))
        let_at = time.time()
        let.set()

    assert first.result().success
    assert second.result().success
    assert (len(moves(first.result())), len(moves(second.result()))) == (1, 0)
    assert planned(rig).made_at > let_at


def test_a_run_that_does_not_get_its_turn_names_the_one_that_has_it(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig({"a": {}}, {"h-0": "a"})
    turn = AllocationTurn(installation=rig.installation, patience_s=0.2)
    context = dg.build_init_resource_context()

    turn.setup_for_execution(context)
    other = AllocationTurn(installation=rig.installation, patience_s=0.2)
    with pytest.raises(AllocationUnderWay, match="a run by hand"):
        other.setup_for_execution(context)
    turn.teardown_after_execution(context)
    other.setup_for_execution(context)
    other.teardown_after_execution(context)


def test_a_run_shows_the_overrides_it_obeyed(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig({"a": {}, "b": {}}, {"h-0": "a"})
    now = time.time()
    pin = Pin(host="h-0", grant=("b",), made_at=now, until=now + 3600, by="anna", note="a try")
    OverrideRecord.of(rig.state).add(pin, now=now)

    result = allocate(rig, instance)

    assert rig.awake() == {"h-0": "b"}
    shown = metadata(result, PLAN)
    assert "h-0 is pinned to b" in shown["overrides"].records[0].data["override"]
    assert "h-0 is pinned to b" in shown["moves"].records[0].data["reason"]
    assert "is pinned to b" in shown["grants"].records[0].data["immovable"]


class MeetingEngines(FakeEngines):
    """Engines that start only when those of another host start too."""

    def __init__(self, meeting: threading.Barrier) -> None:
        super().__init__()
        self._meeting = meeting

    def check(self, model: str, step: Step) -> None:
        if step == "start" and model != "a":
            self._meeting.wait(120)
        super().check(model, step)


def test_hosts_are_swapped_side_by_side(make_rig: RigMaker, instance: dg.DagsterInstance) -> None:
    meeting = threading.Barrier(2)
    rig = make_rig(
        {"a": {"max_replicas": 2}, "b": {"min_replicas": 1}, "c": {"min_replicas": 1}},
        {"h-0": "a", "h-1": "a"},
        engines={"h-0": MeetingEngines(meeting), "h-1": MeetingEngines(meeting)},
    )

    assert allocate(rig, instance).success
    assert sorted(str(model) for model in rig.awake().values()) == ["b", "c"]


def test_a_hotswap_command_sent_again_changes_nothing(
    make_rig: RigMaker, instance: dg.DagsterInstance
) -> None:
    rig = make_rig({"a": {}, "b": {"min_replicas": 1}}, {"h-0": "a"})
    assert allocate(rig, instance).success
    plan = PlanRecord.of(rig.state).read()
    assert plan is not None
    steps = list(rig.hosts["h-0"].engines.log)

    hotswaps = Hotswaps(installation=rig.installation)
    again = [hotswaps.result(order) for order in orders(plan)]

    assert [result.succeeded for result in again] == [True]
    assert rig.hosts["h-0"].engines.log == steps

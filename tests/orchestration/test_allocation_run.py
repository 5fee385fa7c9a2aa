"""Allocation runs against real host applications over fake engines."""

import threading
from typing import Any

import dagster as dg
import pytest

from orchestration.allocation.record import PlanRecord
from orchestration.assembly import build_definitions
from orchestration.hotswaps import Hotswaps, orders
from orchestration.names import PLAN, TRAFFIC, TRIGGER_TAG, serving_key
from serving.wire import Grant
from tests.fakes.engine import FakeEngines, Step
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


class MeetingEngines(FakeEngines):
    """Engines that start only when those of another host start too."""

    def __init__(self, meeting: threading.Barrier) -> None:
        super().__init__()
        self._meeting = meeting

    def check(self, model: str, step: Step) -> None:
        if step == "start" and model != "a":
            self._meeting.wait(30)
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

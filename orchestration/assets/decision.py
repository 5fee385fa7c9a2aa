"""Traffic statistics and the allocation plan: one step, so that both are of the same moment."""

import time
from typing import Any

import dagster as dg

from orchestration import tables
from orchestration.allocation.plan import Plan
from orchestration.allocation.reading.record import PlanRecord
from orchestration.allocation.reading.snapshot import Snapshot, plan_from, take_snapshot
from orchestration.allocation_turn import AllocationTurn
from orchestration.installation import Installation
from orchestration.names import OWNERS, PLAN, TRAFFIC, TRIGGER_TAG
from orchestration.plan_events import PlanEvents
from serving.config import Fleet


class PlanIOManager(dg.IOManager):
    """Keeps the last plan in the state folder, where every planner finds it."""

    def __init__(self, installation: Installation) -> None:
        self._record = PlanRecord.of(installation.state)

    def handle_output(self, context: dg.OutputContext, obj: Plan) -> None:
        """Write the plan."""
        self._record.write(obj)

    def load_input(self, context: dg.InputContext) -> Plan:
        """Read the last plan."""
        plan = self._record.read()
        if plan is None:
            raise dg.Failure("There is no plan yet. Materialize allocation_plan first.")
        return plan


@dg.io_manager(required_resource_keys={"installation"})
def plan_io_manager(context: dg.InitResourceContext) -> PlanIOManager:
    """The place of the last plan."""
    return PlanIOManager(context.resources.installation)


@dg.multi_asset(
    name="decide",
    outs={
        "traffic": dg.AssetOut(
            key=TRAFFIC,
            dagster_type=dg.Nothing,
            description="What every model was asked for over the last seconds: requests waiting "
            "and running, tokens per second, latencies. Read with SQL from DuckDB.",
            group_name="allocation",
            kinds={"duckdb"},
            owners=OWNERS,
            tags={"turntable/plane": "control"},
        ),
        "plan": dg.AssetOut(
            key=PLAN,
            dagster_type=Plan,
            io_manager_key="plan_io",
            description="Which model each engine host should have awake, with the reason for "
            "every move, and for every model that stays as it is.",
            group_name="allocation",
            kinds={"python"},
            owners=OWNERS,
            tags={"turntable/plane": "control"},
        ),
    },
    internal_asset_deps={"traffic": set(), "plan": {TRAFFIC}},
)
def decide(
    context: dg.AssetExecutionContext,
    installation: Installation,
    plan_events: PlanEvents,
    allocation_turn: AllocationTurn,
) -> Any:
    """Take a snapshot of fleet and traffic, and make a plan of it, alone."""
    fleet = installation.fleet
    started = time.monotonic()
    snapshot = take_snapshot(fleet, installation.state)
    snapshot_s = time.monotonic() - started
    trigger = context.run.tags.get(TRIGGER_TAG, "asked for by hand")
    plan = plan_from(fleet, snapshot, trigger=trigger)
    timings_s = {
        "waited for another allocation run": allocation_turn.waited_s,
        "snapshot": snapshot_s,
        "plan": time.monotonic() - started - snapshot_s,
    }
    for override in plan.overrides:
        context.log.info(override.words)
    for move in plan.moves:
        context.log.info(f"{move.host} to {move.to_model}: {move.reason}")
    yield dg.Output(None, "traffic", metadata=_traffic_metadata(fleet, snapshot))
    yield dg.Output(plan, "plan", metadata=_plan_metadata(plan, snapshot, timings_s))
    plan_events.append(plan, context.run.run_id)


def _traffic_metadata(fleet: Fleet, snapshot: Snapshot) -> dict[str, Any]:
    return {
        "window_s": fleet.allocation.window_s,
        "statistics": tables.traffic_table(snapshot.traffic),
        "store": snapshot.traffic_error or "answered",
        "dagster/row_count": len(snapshot.traffic),
    }


def _plan_metadata(plan: Plan, snapshot: Snapshot, timings_s: dict[str, float]) -> dict[str, Any]:
    return {
        "plan_id": plan.plan_id,
        "trigger": plan.trigger,
        "moves": tables.moves_table(plan),
        "overrides": tables.overrides_table(plan),
        "grants": tables.grants_table(plan),
        "setbacks": tables.setbacks_table(snapshot.setbacks),
        "verdicts": tables.verdicts_table(plan),
        "models": tables.models_table(plan),
        "hosts": tables.hosts_table(snapshot.states),
        "timings": tables.timings_table(timings_s),
    }

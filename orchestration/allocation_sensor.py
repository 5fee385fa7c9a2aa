"""The allocation sensor: watches fleet and traffic, asks for a run when a move is worth it.

A tick waits inside itself: it ends at once when there is something to ask for, and after `TICK_S`
otherwise, far below the minute that the daemon allows a tick. It is also how long the code server
may take to stop.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import msgspec
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from orchestration.allocation.operators.overrides import changes
from orchestration.allocation.plan import Plan
from orchestration.allocation.reading.drift import host_drift
from orchestration.allocation.reading.snapshot import (
    Snapshot,
    host_client,
    plan_from,
    snapshot_of,
)
from orchestration.allocation.reading.traffic_source import TrafficSource, shared_source
from orchestration.allocation.reading.watch import FleetWatch
from orchestration.asking import (
    Ask,
    Cursor,
    Situation,
    Stay,
    decide,
    should_record,
    should_tell,
)
from orchestration.assets.serving import serving_metadata
from orchestration.assets.weights import weights_keys, weights_metadata
from orchestration.evaluations import record_evaluation
from orchestration.installation import Installation
from orchestration.names import ALLOCATION_TAGS, TRIGGER_TAG, serving_key
from serving.config import Fleet, StateFolder
from serving.weights import checkpoint_path

TICK_S = 5.0
LOOK_EVERY_S = 0.25
"""How often the traffic statistics are read; a change on a host is looked at when it happens."""

UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen, what the planner made of it, and whether a run is asked for."""

    snapshot: Snapshot
    situation: Situation
    outcome: Ask | Stay


AssetEvents = list[dg.AssetObservation | dg.AssetMaterialization]


def allocation_sensor(
    job: UnresolvedAssetJobDefinition, *, tick_s: float = TICK_S
) -> dg.SensorDefinition:
    """The sensor over `job`; a tick with nothing to ask for lasts `tick_s`."""

    @dg.sensor(
        name="allocation_sensor",
        job=job,
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for an allocation run when a model needs a host that another can spare, "
        "and when the fleet is not as the last plan left it. Observes the serving assets.",
    )
    def sensor(context: dg.SensorEvaluationContext, installation: Installation) -> dg.SensorResult:
        cursor = Cursor.parse(context.cursor)
        with _looking(installation, tick_s) as looks:
            look = _first_ask(context.instance, installation.fleet, cursor, looks)
        snapshot, outcome = look.snapshot, look.outcome
        if isinstance(outcome, Ask):
            cursor = outcome.cursor
        else:
            cursor = _recorded(installation, cursor, look, outcome)
        events, cursor = _news(installation, cursor, snapshot)
        return dg.SensorResult(
            run_requests=[_request(outcome)] if isinstance(outcome, Ask) else None,
            skip_reason=_because(outcome, snapshot) if isinstance(outcome, Stay) else None,
            asset_events=events,
            cursor=cursor.text(),
        )

    return sensor


@contextmanager
def _looking(installation: Installation, tick_s: float) -> Iterator[Iterator[Snapshot]]:
    """Snapshots for the length of a tick: one now, one on every change and every moment."""
    fleet, state = installation.fleet, installation.state
    watch = FleetWatch({host.name: host_client(fleet, state, host.name) for host in fleet.hosts})
    traffic = shared_source(fleet, state)
    try:
        yield _snapshots(watch, traffic, state, tick_s)
    finally:
        watch.stop()


def _snapshots(
    watch: FleetWatch, traffic: TrafficSource, state: StateFolder, tick_s: float
) -> Iterator[Snapshot]:
    end = time.monotonic() + tick_s
    while True:
        view = traffic.read()  # first: it may take longer than a host's state is new
        yield snapshot_of(watch.states(), view, state)
        left_s = end - time.monotonic()
        if left_s <= 0:
            return
        watch.wait(min(LOOK_EVERY_S, left_s))


def _first_ask(
    instance: dg.DagsterInstance, fleet: Fleet, cursor: Cursor, looks: Iterator[Snapshot]
) -> Look:
    """The first look that is worth a run, or the last one and why none is."""
    for snapshot in looks:
        plan = plan_from(fleet, snapshot, trigger="")
        situation = Situation(plan=plan, drift=_drift(snapshot, plan))
        active = _active_run(instance) if situation.fingerprint else None
        outcome = decide(cursor, situation, active_run=active, now=time.time())
        if isinstance(outcome, Ask):
            break
    return Look(snapshot=snapshot, situation=situation, outcome=outcome)


def _drift(snapshot: Snapshot, plan: Plan) -> tuple[str, ...]:
    """How hosts and overrides differ from the last plan's."""
    last = snapshot.last_plan
    told = last.overrides if last is not None else ()
    return (*host_drift(last, plan, snapshot.states), *changes(told, plan.overrides))


def _because(stay: Stay, snapshot: Snapshot) -> str:
    if snapshot.traffic_error is None:
        return stay.because
    return f"{stay.because}. Without the traffic store: {snapshot.traffic_error}"


def _recorded(installation: Installation, cursor: Cursor, look: Look, stay: Stay) -> Cursor:
    """Record why nothing is asked for, when that is new or was long ago, and the store is there."""
    now, digest, last = time.time(), look.situation.digest, look.snapshot.last_plan
    away = look.snapshot.traffic_error is not None
    if away or not should_record(cursor, digest, now):
        return cursor
    last_plan_id = last.plan_id if last is not None else 0
    record_evaluation(installation, look.situation, stay, last_plan_id=last_plan_id, now=now)
    return msgspec.structs.replace(cursor, recorded=digest, recorded_at=now)


def _active_run(instance: dg.DagsterInstance) -> str | None:
    filters = dg.RunsFilter(tags=ALLOCATION_TAGS, statuses=UNDER_WAY)
    records = instance.get_run_records(filters=filters, limit=1)
    return records[0].dagster_run.run_id if records else None


def _request(ask: Ask) -> dg.RunRequest:
    return dg.RunRequest(run_key=ask.run_key, tags={TRIGGER_TAG: ask.trigger})


def _news(
    installation: Installation, cursor: Cursor, snapshot: Snapshot
) -> tuple[AssetEvents, Cursor]:
    """What to tell of assets: serving states when they changed or are old, new checkpoints."""
    fleet, state = installation.fleet, installation.state
    now = time.time()
    events: AssetEvents = []
    told = {model.name: serving_metadata(model, snapshot.states) for model in fleet.models}
    digest = str({name: about["replica hosts"] for name, about in told.items()})
    if should_tell(cursor, digest, now):
        events += [
            dg.AssetObservation(asset_key=serving_key(name), metadata=about)
            for name, about in told.items()
        ]
        cursor = msgspec.structs.replace(cursor, told=digest, told_at=now)
    found = _found_weights(fleet, state, cursor)
    cursor = msgspec.structs.replace(
        cursor, weights=(*cursor.weights, *(event.asset_key.to_user_string() for event in found))
    )
    return [*events, *found], cursor


def _found_weights(
    fleet: Fleet, state: StateFolder, cursor: Cursor
) -> list[dg.AssetMaterialization]:
    """Checkpoints that were prepared outside Dagster (before the first start), told once."""
    keys = weights_keys(fleet, state)
    return [
        dg.AssetMaterialization(asset_key=key, metadata=weights_metadata(model, state))
        for key, model in {keys[model.name]: model for model in fleet.models}.items()
        if key.to_user_string() not in cursor.weights and checkpoint_path(model, state).exists()
    ]

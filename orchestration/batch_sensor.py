"""The batch sensor: every batch of the Batch API becomes a partition, and has a run until it ends.

It looks at open batches only and does no work of theirs: also a batch that is cancelled or has
expired is ended by a run. A tick with nothing to ask for waits for a batch to change or a run to
end, so a batch has its run soon after it was validated, and the next one soon after that died.
"""

import time
from collections.abc import Iterable, Mapping, Sequence

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from orchestration.assets.batches import JOB_NAME, PARTITIONS, PARTITIONS_NAME
from orchestration.batch.attempts import (
    Attempt,
    Bury,
    Cancel,
    GiveUp,
    RunState,
    Start,
    Verdict,
    Wait,
    next_step,
)
from orchestration.batch.claim import is_claimed
from orchestration.batch.pressing import begin_by, priority_of
from orchestration.batch.submitted import give_up
from orchestration.installation import Installation
from orchestration.names import PARTITION_TAG
from orchestration.pressing_runs import hurry
from orchestration.run_coordinator import PRIORITY_TAG
from serving.batches import BatchError, BatchRecord, CancelAsked, Catalog

TICK_S = 5.0
LOOK_EVERY_S = 0.25
DONE_TAG = "turntable/lines_done"
"""On the run of a batch: how many lines were done when it was asked for."""
RUNS_LOOKED_AT = 25
"""Of a batch, latest first; more than may get nothing done in a row."""
LAUNCHED_AT_ONCE = 20
"""Batches looked at in a tick that want something done; the others come in the next."""

_STATES: dict[dg.DagsterRunStatus, RunState] = {
    dg.DagsterRunStatus.QUEUED: "queued",
    dg.DagsterRunStatus.NOT_STARTED: "queued",
    dg.DagsterRunStatus.MANAGED: "queued",
    dg.DagsterRunStatus.STARTING: "queued",
    dg.DagsterRunStatus.STARTED: "started",
    dg.DagsterRunStatus.CANCELING: "started",
    dg.DagsterRunStatus.CANCELED: "terminated",
}
UNDER_WAY = [status for status, state in _STATES.items() if state in {"queued", "started"}]


Seen = tuple[list[tuple[str, str]], int]
"""What a tick goes by: open batches, and how many runs of batches are under way."""


def batch_sensor(
    job: UnresolvedAssetJobDefinition, *, tick_s: float = TICK_S
) -> dg.SensorDefinition:
    """The sensor over `job`; a tick with nothing to ask for lasts `tick_s`."""

    @dg.sensor(
        name="batch_sensor",
        job=job,
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a run for every batch of the Batch API that is validated, and for "
        "another when one died. Terminating a run cancels its batch.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, installation: Installation
    ) -> dg.SensorResult | dg.SkipReason:
        end = time.monotonic() + tick_s
        catalog = Catalog(installation.state.batch_catalog)
        try:
            while True:
                seen = _seen(context.instance, catalog)
                result = _tick(context.instance, installation, catalog)
                if isinstance(result, dg.SensorResult) or not _changed(
                    context.instance, catalog, seen, end
                ):
                    return result
        finally:
            catalog.close()

    return sensor


def _seen(instance: dg.DagsterInstance, catalog: Catalog) -> Seen:
    open_batches: list[tuple[str, str]] = [
        (record.id, record.status) for record in catalog.open_batches()
    ]
    if not open_batches:
        return open_batches, 0
    under_way = dg.RunsFilter(job_name=JOB_NAME, statuses=UNDER_WAY)
    return open_batches, instance.get_runs_count(under_way)


def _changed(instance: dg.DagsterInstance, catalog: Catalog, seen: Seen, end: float) -> bool:
    """Wait until there is something else than `seen`, or `end`; whether the former."""
    while time.monotonic() < end:
        time.sleep(LOOK_EVERY_S)
        if _seen(instance, catalog) != seen:
            return True
    return False


def _tick(
    instance: dg.DagsterInstance, installation: Installation, catalog: Catalog
) -> dg.SensorResult | dg.SkipReason:
    waits: list[str] = []
    requests: list[dg.RunRequest] = []
    runs = instance.get_run_records(filters=dg.RunsFilter(statuses=UNDER_WAY))
    under_way = _by_partition(runs)
    batches = catalog.open_batches()
    hurry(instance, runs, batches)
    for record in batches:
        verdict = _verdict(instance, installation, record, under_way)
        if isinstance(verdict, Start):
            requests.append(_request(record, verdict))
        elif isinstance(verdict, Wait):
            waits.append(f"{record.id}: {verdict.why}")
        else:
            _carry_out(instance, installation, catalog, record, verdict)
        if len(requests) >= LAUNCHED_AT_ONCE:
            break
    if not requests:
        return dg.SkipReason("; ".join(waits[:LAUNCHED_AT_ONCE]) or "no batch is open")
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=_new_partitions(instance, requests),
    )


def _by_partition(runs: Iterable[dg.RunRecord]) -> dict[str, list[Attempt]]:
    """Runs that have not ended, by their partition; whoever asked for them."""
    found: dict[str, list[Attempt]] = {}
    for record in runs:
        partition = record.dagster_run.tags.get(PARTITION_TAG)
        if partition is not None:
            found.setdefault(partition, []).append(attempt_of(record, time.time()))
    return found


def _verdict(
    instance: dg.DagsterInstance,
    installation: Installation,
    record: BatchRecord,
    under_way: Mapping[str, list[Attempt]],
) -> Verdict:
    if not record.is_validated:
        return Wait("not validated yet")
    claimed = is_claimed(installation.state.batch_work(record.id))
    attempts = under_way.get(record.id) or _attempts(instance, record.id)
    return next_step(record, attempts, claimed=claimed)


def _attempts(instance: dg.DagsterInstance, batch_id: str) -> list[Attempt]:
    """The batch's runs, latest first."""
    filters = dg.RunsFilter(tags={PARTITION_TAG: batch_id})
    records = instance.get_run_records(filters=filters, limit=RUNS_LOOKED_AT)
    return [attempt_of(record, time.time()) for record in records]


def attempt_of(record: dg.RunRecord, now: float) -> Attempt:
    """A run of Dagster's as an attempt at its batch."""
    run = record.dagster_run
    done = run.tags.get(DONE_TAG, "")
    return Attempt(
        run_id=run.run_id,
        state=_STATES.get(run.status, "ended"),
        started_s=now - record.start_time if record.start_time else 0.0,
        ended_s=now - record.end_time if record.end_time else 0.0,
        done_before=int(done) if done.isdigit() else None,
    )


def _carry_out(
    instance: dg.DagsterInstance,
    installation: Installation,
    catalog: Catalog,
    record: BatchRecord,
    verdict: Bury | Cancel | GiveUp,
) -> None:
    """What the sensor does itself; a run follows in the next tick, where one is needed."""
    match verdict:
        case Bury(run_id):
            run = instance.get_run_by_id(run_id)
            if run is not None and not run.is_finished:
                instance.report_run_failed(run, "The process of this run is gone.")
        case Cancel():
            catalog.apply(record.id, CancelAsked())
        case GiveUp(run_id):
            message = f"run after run ended and got nothing done, the last one was {run_id}"
            why = BatchError(code="runs_failed", message=message)
            kept_s = installation.fleet.batches.retention_s
            give_up(installation.state, catalog, record, why, retention_s=kept_s)


def _request(record: BatchRecord, start: Start) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{record.id} after {start.after or 'none'}",
        partition_key=record.id,
        tags={
            DONE_TAG: str(record.completed + record.failed),
            PRIORITY_TAG: priority_of(begin_by(record.expires_at, record.expected_s)),
        },
    )


def _new_partitions(
    instance: dg.DagsterInstance, requests: Iterable[dg.RunRequest]
) -> Sequence[dg.AddDynamicPartitionsRequest]:
    known = set(instance.get_dynamic_partitions(PARTITIONS_NAME))
    added = [
        request.partition_key
        for request in requests
        if request.partition_key is not None and request.partition_key not in known
    ]
    return [PARTITIONS.build_add_request(added)] if added else []

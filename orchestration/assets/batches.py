"""Batches of the Batch API: one partition a batch, answered in the flex tier."""

import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.errors import DagsterExecutionInterruptedError
from pydantic import Field

from orchestration.assets.batch_pages import outcome_metadata, progress_metadata, run_metadata
from orchestration.batch.disturbance import disturbance
from orchestration.batch.progress import Figures
from orchestration.batch.results import account
from orchestration.batch.submitted import Submitted, result_path, submitted
from orchestration.batch.words import told
from orchestration.errors import BatchError
from orchestration.installation import Installation
from orchestration.names import BATCH_TAGS, BATCHES, OWNERS, serving_key
from serving.batches import BatchesError, BatchRecord, Catalog
from serving.config import BATCH_ACCOUNT, Fleet, StateFolder

JOB_NAME = "answer_batch"
PARTITIONS_NAME = "batches"
PARTITIONS = dg.DynamicPartitionsDefinition(name=PARTITIONS_NAME)
"""One a batch; its key is the batch's id."""
CHECK = "every_line_has_one_record"
TERMINATED = {dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED}


class BatchesConfig(dg.Config):
    """How a batch is asked for."""

    window: int = Field(
        default=0, ge=0, description="open requests; 0: follows the slots of the model's replicas"
    )
    request_s: float = Field(default=3600, gt=0, description="longest wait for one answer")


def batches_assets(fleet: Fleet) -> list[dg.AssetsDefinition]:
    """The batches."""

    @dg.asset(
        key=BATCHES,
        deps=[serving_key(model.name) for model in fleet.models],
        partitions_def=PARTITIONS,
        description="Batches of the Batch API, one partition each: every line is asked in the flex "
        "tier, and has one record in the output or the error file. A run goes on where the one "
        "before it ended; a batch that has ended is shown again, and nothing is asked. "
        "Terminating the run cancels the batch.",
        group_name="batch",
        kinds={"json"},
        owners=OWNERS,
        tags={"turntable/plane": "data"},
        check_specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset=BATCHES,
                description="Output and error file together have one record for every input line.",
            )
        ],
    )
    def batches(
        context: dg.AssetExecutionContext, config: BatchesConfig, installation: Installation
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        catalog = Catalog(installation.state.batch_catalog)
        try:
            record, page = _carried_out(context, config, installation, catalog)
        except (BatchError, BatchesError) as error:
            raise dg.Failure(str(error)) from error
        finally:
            catalog.close()
        yield dg.MaterializeResult(
            metadata={**outcome_metadata(record, installation.state), **page}
        )
        yield check(record, installation.state)
        if _terminated(context):
            raise DagsterExecutionInterruptedError

    return [batches]


def batches_job() -> UnresolvedAssetJobDefinition:
    """The job that answers one batch."""
    return dg.define_asset_job(
        JOB_NAME,
        selection=dg.AssetSelection.assets(BATCHES),
        description="Answer a batch of the Batch API in the flex tier.",
        tags=BATCH_TAGS,
        executor_def=dg.in_process_executor,
    )


def check(record: BatchRecord, state: StateFolder) -> dg.AssetCheckResult:
    """Compare the files with the number of lines."""
    found = account(
        result_path(state, record.output_file_id), result_path(state, record.error_file_id)
    )
    return dg.AssetCheckResult(
        asset_key=BATCHES,
        check_name=CHECK,
        passed=found.is_whole(record.lines),
        metadata={
            "lines": record.lines,
            "output records": found.output,
            "error records": found.errors,
            "more than once": found.doubled,
        },
    )


def _carried_out(
    context: dg.AssetExecutionContext,
    config: BatchesConfig,
    installation: Installation,
    catalog: Catalog,
) -> tuple[BatchRecord, dict[str, Any]]:
    """The batch once it has ended, and what this run's page says of the run."""
    record = catalog.batch(context.partition_key)
    if record.is_terminal:
        context.log.info(f"the batch is {record.status}; nothing is asked again")
        return record, {}
    retention_s = installation.fleet.batches.retention_s
    with submitted(
        installation.state, catalog, record, context.run.run_id, retention_s=retention_s
    ) as work:
        return _answered(context, config, installation, work)


def _answered(
    context: dg.AssetExecutionContext,
    config: BatchesConfig,
    installation: Installation,
    work: Submitted,
) -> tuple[BatchRecord, dict[str, Any]]:
    # Not above: an allocation run imports this module too, and has no time for an HTTP client.
    from orchestration.batch.answering import answer
    from orchestration.batch.asking import Terms

    fleet, state, record, began = installation.fleet, installation.state, work.record, time.time()
    terms = Terms(
        base_url=f"http://{fleet.gateway.address}:{fleet.gateway.port}",
        api_key=state.token(BATCH_ACCOUNT),
        name=record.id,
        account=record.account,
        due_at=record.expires_at,
        request_s=config.request_s,
    )

    def report(figures: Figures) -> None:
        context.log.info(told(figures))
        seen = disturbance(fleet, state, record.id, began)
        metadata = progress_metadata(figures, seen)
        context.log_event(
            dg.AssetObservation(asset_key=BATCHES, partition=record.id, metadata=metadata)
        )

    models = {model.name: model for model in fleet.models}
    context.log.info(f"{record.lines} lines for {record.model}, in {len(work.shards)} shards")
    answered = answer(work, terms, models, report, window=config.window)
    if answered.stopped == "interrupted":
        if not _terminated(context):
            raise DagsterExecutionInterruptedError
        work.cancel()
    context.log.info(told(answered.figures))
    record = work.settle(expired=answered.stopped == "expired")
    work.discard()
    return record, run_metadata(answered, disturbance(fleet, state, record.id, began))


def _terminated(context: dg.AssetExecutionContext) -> bool:
    """Whether a person terminated the run; a signal alone may also be Dagster shutting down."""
    run = context.instance.get_run_by_id(context.run.run_id)
    return run is not None and run.status in TERMINATED

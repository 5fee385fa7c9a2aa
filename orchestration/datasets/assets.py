"""The two assets of a dataset: its prompts, which are checked, and its completions."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from orchestration.assets.batch_pages import progress_metadata
from orchestration.batch.disturbance import disturbance
from orchestration.batch.progress import Figures
from orchestration.batch.words import told
from orchestration.datasets.checks import Check, checks_of
from orchestration.datasets.loading import LoadedDataset, load_dataset
from orchestration.datasets.output import output_file, read_output
from orchestration.datasets.pages import UNIT, answered_metadata, sample
from orchestration.datasets.partitioning import partitions_definition, portion_of
from orchestration.datasets.patterns import Portion
from orchestration.datasets.sources import Rows, read_rows
from orchestration.errors import BatchError
from orchestration.installation import Installation
from orchestration.names import OWNERS, completions_key, prompts_key, serving_key
from serving.config import Fleet
from serving.errors import ConfigError

GROUP = "batch"
TAGS = {"turntable/plane": "data"}
SHOWN = ("id", "completion", "error")
"""Columns of an output that its page has a sample of."""


class RunConfig(dg.Config):
    """How a run asks."""

    window: int = Field(
        default=0, ge=0, description="open requests of one model; 0: follows the slots offered"
    )
    request_s: float = Field(default=3600, gt=0, description="longest wait for one answer")
    retry_errors: bool = Field(
        default=False, description="ask again for rows that an earlier run ended with an error"
    )


def dataset_assets(dataset: LoadedDataset, fleet: Fleet) -> list[dg.AssetsDefinition]:
    """Prompts and completions of a dataset."""
    return [_prompts(dataset), _completions(dataset, fleet)]


def freshness_policy(dataset: LoadedDataset) -> dg.FreshnessPolicy | None:
    """Dagster's, of the completions."""
    told = dataset.declared.freshness
    if told is None:
        return None
    warn = None if told.warn_after_h is None else timedelta(hours=told.warn_after_h)
    return dg.FreshnessPolicy.time_window(
        fail_window=timedelta(hours=told.within_h), warn_window=warn
    )


def _prompts(dataset: LoadedDataset) -> dg.AssetsDefinition:
    declared = dataset.declared

    @dg.asset(
        key=prompts_key(dataset.name),
        partitions_def=partitions_definition(declared.partitions),
        description=f"{declared.description}\n\nThe rows of `{dataset.file.name}`, checked: they "
        "can be read, and told apart.".strip(),
        group_name=GROUP,
        kinds={"polars", "duckdb" if declared.source.kind != "file" else "file"},
        owners=OWNERS,
        tags=TAGS,
        metadata={"declared in": dg.MetadataValue.path(str(dataset.file))},
    )
    def prompts(
        context: dg.AssetExecutionContext, installation: Installation
    ) -> dg.MaterializeResult[None]:
        now, portion = _as_of_now(context, installation, dataset)
        try:
            rows = read_rows(now, portion, installation.fleet, installation.state)
        except BatchError as error:
            raise dg.Failure(str(error)) from error
        return dg.MaterializeResult(
            metadata={"dagster/row_count": rows.frame.height, "sample": sample(rows.frame)}
        )

    return prompts


def _completions(dataset: LoadedDataset, fleet: Fleet) -> dg.AssetsDefinition:
    declared, key = dataset.declared, completions_key(dataset.name)
    any_model = "model" in declared.overrides
    models = [model.name for model in fleet.models] if any_model else [dataset.model]
    specs = [
        dg.AssetCheckSpec(check.name, asset=key, description=check.description)
        for check in checks_of(declared)
    ]

    @dg.asset(
        key=key,
        deps=[prompts_key(dataset.name), *(serving_key(model) for model in models)],
        partitions_def=partitions_definition(declared.partitions),
        description=f"{declared.description}\n\nThe answers, one row for each prompt, in their "
        "order. Asked in the flex tier: interactive requests go first. Rows done are kept, so that "
        "a run that follows another does only what is missing or has changed.".strip(),
        group_name=GROUP,
        kinds={"polars", "parquet"},
        owners=OWNERS,
        tags=TAGS,
        metadata={"declared in": dg.MetadataValue.path(str(dataset.file))},
        freshness_policy=freshness_policy(dataset),
        check_specs=specs,
    )
    def completions(
        context: dg.AssetExecutionContext, config: RunConfig, installation: Installation
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        now, portion = _as_of_now(context, installation, dataset)
        try:
            rows = read_rows(now, portion, installation.fleet, installation.state)
            page = _answer(context, config, installation, now, portion, rows)
        except BatchError as error:
            raise dg.Failure(str(error)) from error
        path = output_file(now, portion)
        output = read_output(path)
        yield dg.MaterializeResult(
            metadata={
                **page,
                "path": dg.MetadataValue.path(str(path)),
                "sample": sample(output.select(SHOWN)),
            }
        )
        yield from (_result(key, check, rows, output) for check in checks_of(declared))

    return completions


def _as_of_now(
    context: dg.AssetExecutionContext, installation: Installation, dataset: LoadedDataset
) -> tuple[LoadedDataset, Portion]:
    """The dataset as the installation of the run has it, and what the run is about."""
    try:
        now = load_dataset(dataset.file, installation.fleet, installation.state)
    except ConfigError as error:
        raise dg.Failure(str(error)) from error
    key = context.partition_key if context.has_partition_key else None
    return now, portion_of(now.declared.partitions, key)


def _answer(
    context: dg.AssetExecutionContext,
    config: RunConfig,
    installation: Installation,
    dataset: LoadedDataset,
    portion: Portion,
    rows: Rows,
) -> dict[str, Any]:
    """What the page says of the run that answered the rows."""
    # Not above: an allocation run imports this module too, and has no time for an HTTP client.
    from orchestration.datasets.answering import Answering, PortionRun

    fleet, state, began = installation.fleet, installation.state, time.time()
    name, key = f"{dataset.name}-{context.run.run_id}", completions_key(dataset.name)

    def report(figures: Figures) -> None:
        context.log.info(told(figures, UNIT))
        page = progress_metadata(figures, disturbance(fleet, state, name, began), UNIT)
        context.log_event(
            dg.AssetObservation(asset_key=key, partition=portion.partition, metadata=page)
        )

    run = PortionRun(dataset, portion, fleet, state, name=name, report=report)
    answered = run.answer(rows, Answering(**config.model_dump()))
    context.log.info(told(answered.course.figures, UNIT))
    return answered_metadata(answered, disturbance(fleet, state, name, began))


def _result(
    key: dg.AssetKey, check: Check, rows: Rows, output: pl.DataFrame
) -> dg.AssetCheckResult:
    verdict = check.look(rows, output)
    return dg.AssetCheckResult(
        asset_key=key, check_name=check.name, passed=verdict.passed, metadata=verdict.found
    )

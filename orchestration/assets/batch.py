"""Batch: a day's prompt file, and its completions, in the flex tier of the gateway."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from orchestration import tables
from orchestration.batch.partition import BatchSettings, BatchSummary, complete_partition
from orchestration.batch.prompts import read_prompt_file, read_prompts
from orchestration.errors import BatchError
from orchestration.installation import Installation
from orchestration.names import COMPLETIONS, OWNERS, PROMPTS, serving_key
from serving.config import BATCH_ACCOUNT, Fleet, StateFolder

FIRST_DAY = "2026-01-01"
DAYS = dg.DailyPartitionsDefinition(start_date=FIRST_DAY, end_offset=1)
"""Every day, today included."""

ROWS_CHECK = "every_row_accounted_for"
SAMPLE_ROWS = 5


class BatchConfig(dg.Config):
    """How a partition is asked for."""

    window: int = Field(
        default=0, ge=0, description="open requests of one model; 0: the slots of its replicas"
    )
    patience_s: float = Field(
        default=1800, gt=0, description="how long to go on while the gateway takes nothing"
    )
    request_s: float = Field(default=3600, gt=0, description="longest wait for one answer")
    retry_errors: bool = Field(
        default=False, description="ask again for rows that an earlier run ended with an error"
    )


def prompt_file(state: StateFolder, day: str) -> Path:
    """The prompts of a day."""
    return state.prompts / f"{day}.parquet"


def completion_file(state: StateFolder, day: str) -> Path:
    """The completions of a day."""
    return state.completions / f"{day}.parquet"


def checkpoint_file(state: StateFolder, day: str) -> Path:
    """The rows of a day that are done."""
    return state.completions / "checkpoints" / f"{day}.jsonl"


def batch_assets(fleet: Fleet) -> list[dg.AssetsDefinition]:
    """Prompts and completions."""

    @dg.asset(
        key=COMPLETIONS,
        deps=[PROMPTS, *(serving_key(model.name) for model in fleet.models)],
        partitions_def=DAYS,
        description="The answers to a day's prompts, in their order, one row a prompt. Asked in "
        "the flex tier: interactive requests go first. Rows done are kept, so that a run "
        "that follows another does only what is missing.",
        group_name="batch",
        kinds={"polars", "parquet"},
        owners=OWNERS,
        tags={"turntable/plane": "data"},
        check_specs=[
            dg.AssetCheckSpec(
                ROWS_CHECK,
                asset=COMPLETIONS,
                description="Every prompt has exactly one row, and no row is without a prompt.",
            )
        ],
    )
    def batch_completions(
        context: dg.AssetExecutionContext, config: BatchConfig, installation: Installation
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        state, day = installation.state, context.partition_key
        try:
            prompts = read_prompts(prompt_file(state, day), installation.fleet)
            summary = asyncio.run(
                complete_partition(
                    prompts,
                    checkpoint_file(state, day),
                    completion_file(state, day),
                    batch_settings(installation.fleet, config, api_key=state.token(BATCH_ACCOUNT)),
                    context.log.info,
                )
            )
        except BatchError as error:
            raise dg.Failure(str(error)) from error
        yield dg.MaterializeResult(metadata=_completion_metadata(summary, state, day))
        yield account_for_rows(prompt_file(state, day), completion_file(state, day))

    return [batch_prompts, batch_completions]


@dg.asset(
    key=PROMPTS,
    partitions_def=DAYS,
    description="A day's prompt file, checked: readable, and every row has an id of its own.",
    group_name="batch",
    kinds={"polars", "parquet"},
    owners=OWNERS,
    tags={"turntable/plane": "data"},
)
def batch_prompts(
    context: dg.AssetExecutionContext, installation: Installation
) -> dg.MaterializeResult[None]:
    """Check the prompt file of a day."""
    path = prompt_file(installation.state, context.partition_key)
    try:
        frame = read_prompt_file(path)
    except BatchError as error:
        raise dg.Failure(str(error)) from error
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": frame.height,
            "path": dg.MetadataValue.path(str(path)),
            "sample": _sample(frame),
        }
    )


def batch_settings(fleet: Fleet, config: BatchConfig, *, api_key: str) -> BatchSettings:
    """Where and how to ask."""
    gateway = fleet.gateway
    return BatchSettings(
        base_url=f"http://{gateway.address}:{gateway.port}",
        api_key=api_key,
        windows={
            model.name: config.window or model.slots * max(1, model.max_replicas)
            for model in fleet.models
        },
        patience_s=config.patience_s,
        request_s=config.request_s,
        retry_errors=config.retry_errors,
    )


def account_for_rows(prompts: Path, completions: Path) -> dg.AssetCheckResult:
    """Compare the two files, row by row."""
    asked = pl.read_parquet(prompts).select(pl.col("id").cast(pl.String))
    answered = pl.read_parquet(completions).select("id", "error", "completion")
    missing = asked.join(answered, on="id", how="anti").height
    surplus = answered.join(asked, on="id", how="anti").height
    doubled = answered.height - answered["id"].n_unique()
    empty = answered.filter(pl.col("error").is_null() & pl.col("completion").is_null()).height
    return dg.AssetCheckResult(
        asset_key=COMPLETIONS,
        check_name=ROWS_CHECK,
        passed=not (missing or surplus or doubled),
        metadata={
            "prompts": asked.height,
            "completions": answered.height,
            "missing": missing,
            "without a prompt": surplus,
            "more than once": doubled,
            "without text": empty,
        },
    )


def _completion_metadata(summary: BatchSummary, state: StateFolder, day: str) -> dict[str, Any]:
    path = completion_file(state, day)
    done = summary.rows - summary.resumed
    return {
        "dagster/row_count": summary.rows,
        "ok": summary.ok,
        "errors": summary.errors,
        "resumed from checkpoint": summary.resumed,
        "prompt tokens": summary.prompt_tokens,
        "completion tokens": summary.completion_tokens,
        "seconds": round(summary.seconds, 2),
        "rows per second": round(done / summary.seconds, 3) if summary.seconds else 0.0,
        "path": dg.MetadataValue.path(str(path)),
        "sample": _sample(pl.read_parquet(path)),
    }


def _sample(frame: pl.DataFrame) -> dg.MetadataValue:
    return tables.table(frame.head(SAMPLE_ROWS).iter_rows(named=True), frame.columns)

"""One partition from prompts to completions: what is missing is asked, all is written at once."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import polars as pl

from orchestration.batch.checkpoint import Checkpoint, Completion
from orchestration.batch.prompts import Prompt
from orchestration.batch.requests import complete

COLUMNS = {
    "id": pl.String,
    "model": pl.String,
    "completion": pl.String,
    "finish_reason": pl.String,
    "prompt_tokens": pl.Int64,
    "completion_tokens": pl.Int64,
    "seconds": pl.Float64,
    "error": pl.String,
}
REPORT_EVERY_S = 10.0


class BatchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a partition is asked for."""

    base_url: str
    api_key: str
    windows: dict[str, int]
    """Open requests of each model."""
    patience_s: float
    request_s: float
    retry_errors: bool


class BatchSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did to a partition."""

    rows: int
    ok: int
    errors: int
    resumed: int
    """Rows that an earlier run had done."""
    seconds: float
    prompt_tokens: int
    completion_tokens: int
    """Tokens of the rows done by this run."""


async def complete_partition(
    prompts: Sequence[Prompt],
    checkpoint_path: Path,
    output: Path,
    settings: BatchSettings,
    say: Callable[[str], None],
) -> BatchSummary:
    """Do the rows that are missing, then write every row, in the prompts' order."""
    started = time.monotonic()
    with Checkpoint(checkpoint_path) as checkpoint:
        missing = [p for p in prompts if not is_done(p, checkpoint, settings.retry_errors)]
        say(f"{len(prompts)} rows, {len(prompts) - len(missing)} of them done before")
        for prompt in missing:
            if prompt.body is None:
                checkpoint.add(_unaskable(prompt))
        askable = [prompt for prompt in missing if prompt.body is not None]
        await _ask_all(askable, checkpoint, settings, say)
        rows = [checkpoint.done[prompt.id] for prompt in prompts]
    write_completions(rows, output)
    fresh = [checkpoint.done[prompt.id] for prompt in missing]
    failed = sum(row.error is not None for row in rows)
    return BatchSummary(
        rows=len(rows),
        ok=len(rows) - failed,
        errors=failed,
        resumed=len(rows) - len(missing),
        seconds=time.monotonic() - started,
        prompt_tokens=sum(row.prompt_tokens for row in fresh),
        completion_tokens=sum(row.completion_tokens for row in fresh),
    )


def is_done(prompt: Prompt, checkpoint: Checkpoint, retry_errors: bool) -> bool:
    """Whether the row as it stands now was done before."""
    row = checkpoint.done.get(prompt.id)
    if row is None or row.fingerprint != prompt.fingerprint:
        return False
    return row.error is None or not retry_errors


def write_completions(rows: Sequence[Completion], output: Path) -> None:
    """Write the output file whole: a reader sees the old one or the new one."""
    frame = pl.DataFrame([msgspec.structs.asdict(row) for row in rows]) if rows else pl.DataFrame()
    draft = output.with_suffix(".draft")
    _typed(frame).write_parquet(draft)
    draft.replace(output)


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    if frame.is_empty():
        return pl.DataFrame(schema=COLUMNS)
    return frame.select(pl.col(name).cast(kind) for name, kind in COLUMNS.items())


async def _ask_all(
    prompts: Sequence[Prompt],
    checkpoint: Checkpoint,
    settings: BatchSettings,
    say: Callable[[str], None],
) -> None:
    """Ask for every row and keep each as it comes."""
    said_at = time.monotonic()
    count = 0

    def keep(row: Completion) -> None:
        nonlocal said_at, count
        checkpoint.add(row)
        count += 1
        if time.monotonic() - said_at >= REPORT_EVERY_S:
            said_at = time.monotonic()
            say(f"{count} of {len(prompts)} rows asked for are done")

    await complete(
        prompts,
        settings.base_url,
        keep,
        api_key=settings.api_key,
        windows=settings.windows,
        patience_s=settings.patience_s,
        request_s=settings.request_s,
    )


def _unaskable(prompt: Prompt) -> Completion:
    return Completion(
        id=prompt.id, model=prompt.model, fingerprint=prompt.fingerprint, error=prompt.error
    )

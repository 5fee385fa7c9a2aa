"""A batch of the Batch API while a run works on it: its lines, shards and journals, and its end.

The catalog says what may happen to the batch (`serving.batches.lifecycle`); this module says what a
run does about it.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import structlog

from orchestration.batch.asks import Ask, Outcome, RowError, Shard
from orchestration.batch.claim import claimed
from orchestration.batch.joining import join
from orchestration.batch.journal import Journal
from orchestration.batch.progress import Figures
from orchestration.errors import BatchNotReady
from serving.batches import (
    INDEX_NAME,
    BatchEvent,
    BatchRecord,
    CancelAsked,
    Cancelled,
    Catalog,
    Completed,
    Draft,
    Expired,
    Failed,
    FileStore,
    Finalizing,
    IllegalTransition,
    InputLines,
    Progress,
    Usage,
    result_file_id,
)
from serving.batches.records import BatchError, ResultKind
from serving.config import StateFolder
from serving.errors import TurntableError

log = structlog.get_logger(__name__)

SHARD_LINES = 10_000
CANCELLED = RowError(
    "batch_cancelled", "This request was not executed because the batch was cancelled."
)
EXPIRED = RowError(
    "batch_expired",
    "This request could not be executed before the completion window expired.",
)
FAILED = RowError(
    "runs_failed", "This request was not executed: run after run ended without a line done."
)
LOST = RowError("batch_line_lost", "This request has no outcome.")
"""Never written, unless a completed batch's journal lost a row; the row check then fails."""


class Submitted:
    """A batch that this process has claimed."""

    def __init__(
        self,
        catalog: Catalog,
        store: FileStore,
        record: BatchRecord,
        lines: InputLines,
        folder: Path,
        retention_s: int,
    ) -> None:
        self._catalog, self._store, self._folder = catalog, store, folder
        self._retention_s = retention_s
        self.record, self.lines = record, lines
        self.shards = shards_of(record, lines)
        self.journals: dict[str, Journal] = {}

    def open_journals(self, stack: ExitStack) -> None:
        """Open every shard's journal until `stack` ends."""
        for shard in self.shards:
            journal = Journal(self._folder / f"{shard.name}.jsonl")
            self.journals[shard.name] = stack.enter_context(journal)

    def look(self) -> BatchRecord:
        """The record as it is now."""
        self.record = self._catalog.batch(self.record.id)
        return self.record

    def tell(self, figures: Figures) -> None:
        """Put counts and tokens into the record, where it still takes them."""
        try:
            self.record = self._catalog.apply(self.record.id, progress_of(figures))
        except IllegalTransition:
            self.look()

    def cancel(self) -> None:
        """A person wants the batch to stop."""
        self.record = self._catalog.apply(self.record.id, CancelAsked())

    def settle(self, *, expired: bool) -> BatchRecord:
        """Write the files and end the batch: completed, cancelled, or with `expired` that."""
        for journal in self.journals.values():
            journal.sync()
        record = self.look() if expired else self._finalizing()
        if record.status == "cancelling":
            event: BatchEvent = Cancelled(*self._write(record, CANCELLED))
        elif expired:
            event = Expired(*self._write(record, EXPIRED))
        else:
            event = Completed(*self._write(record, LOST))
        self.record = self._catalog.apply(record.id, event)
        return self.record

    def give_up(self, why: BatchError) -> BatchRecord:
        """Write the files of what is done, and end the batch as failed."""
        files = self._write(self.record, FAILED)
        self.record = self._catalog.apply(self.record.id, Failed((why,), *files))
        return self.record

    def discard(self) -> None:
        """Drop journals and index: the batch has ended, its files say everything."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _finalizing(self) -> BatchRecord:
        try:
            return self._catalog.apply(self.record.id, Finalizing())
        except IllegalTransition:
            return self.look()

    def _write(self, record: BatchRecord, missing: RowError) -> tuple[str | None, str | None]:
        """Both files, registered where they have lines; their ids."""
        with self._store.draft() as output, self._store.draft() as errors:
            join(record.id, self._outcomes(), missing, output, errors)
            return self._keep(record, output, "output"), self._keep(record, errors, "error")

    def _outcomes(self) -> Iterator[tuple[int, str, Outcome | None]]:
        for shard in self.shards:
            journal = self.journals[shard.name]
            for number in shard.keys:
                outcome = journal.read(number)
                if outcome is not None:
                    yield number, outcome.custom_id, outcome
                else:
                    yield number, custom_id_of(self.lines, number), None

    def _keep(self, record: BatchRecord, draft: Draft, kind: ResultKind) -> str | None:
        if not draft.size_bytes:
            return None
        asked_s = record.output_expires_after_s
        kept = self._store.keep(
            draft,
            account=record.account,
            purpose="batch_output",
            filename=f"{record.id}_{kind}.jsonl",
            expires_after_s=self._retention_s if asked_s is None else asked_s,
            batch_id=record.id,
            file_id=result_file_id(record.id, kind),
        )
        return kept.id


@contextmanager
def submitted(
    state: StateFolder, catalog: Catalog, record: BatchRecord, run_id: str, *, retention_s: int
) -> Iterator[Submitted]:
    """Claim a batch that has not ended. Raises PartitionBusy or BatchNotReady.

    Its files are kept for `retention_s`, where it did not ask for another time.
    """
    folder = state.batch_work(record.id)
    index = folder / INDEX_NAME
    if not record.is_validated or not index.exists():
        raise BatchNotReady(
            f"it is {record.status}, and its lines are not known yet",
            where=f"batch {record.id}",
            fix="The gateway validates it; a run is asked for when that is done.",
        )
    store = FileStore(state.batch_files, catalog)
    with (
        claimed(folder, run_id),
        InputLines(store.path(record.input_file_id), index) as lines,
        ExitStack() as stack,
    ):
        work = Submitted(catalog, store, record, lines, folder, retention_s)
        work.open_journals(stack)
        yield work


def give_up(
    state: StateFolder, catalog: Catalog, record: BatchRecord, why: BatchError, *, retention_s: int
) -> None:
    """End a batch that runs cannot get on with; with its files, where they can be written."""
    try:
        with submitted(state, catalog, record, "none", retention_s=retention_s) as work:
            work.give_up(why)
            work.discard()
    except (TurntableError, OSError, msgspec.MsgspecError) as error:
        # Perhaps just what its runs died of.
        log.warning("batch_given_up_without_files", batch=record.id, error=str(error))
        catalog.apply(record.id, Failed((why,)))


def shards_of(record: BatchRecord, lines: InputLines) -> list[Shard]:
    """The lines in parts that run side by side; the same parts in every run."""
    assert record.model is not None, "a validated batch has a model"
    model = record.model

    def read(numbers: Iterable[int]) -> Iterator[Ask]:
        for number in numbers:
            yield ask_of(lines, number, model)

    total = len(lines)
    return [
        Shard(
            name=f"shard-{part:03d}",
            model=model,
            keys=range(first, min(first + SHARD_LINES, total)),
            read=read,
        )
        for part, first in enumerate(range(0, total, SHARD_LINES))
    ]


def ask_of(lines: InputLines, number: int, model: str) -> Ask:
    """A line of the input as an ask."""
    ((_, line),) = lines.read(number, number + 1)
    return Ask(
        key=number,
        custom_id=line.custom_id,
        path=line.url,
        model=model,
        body=bytes(line.body),
    )


def custom_id_of(lines: InputLines, number: int) -> str:
    """The custom id of a line."""
    ((_, line),) = lines.read(number, number + 1)
    return line.custom_id


def progress_of(figures: Figures) -> Progress:
    """The figures as the record has them."""
    tokens = figures.tokens
    usage = Usage(
        input_tokens=tokens.prompt,
        cached_tokens=tokens.cached,
        output_tokens=tokens.completion,
        reasoning_tokens=tokens.reasoning,
    )
    return Progress(figures.done - figures.failed, figures.failed, usage)


def result_path(state: StateFolder, file_id: str | None) -> Path | None:
    """Where an output or error file is; None if there is none, or it was deleted."""
    path = None if file_id is None else state.batch_files / file_id
    return path if path is not None and path.exists() else None

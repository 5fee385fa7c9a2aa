"""One run of a portion: what has no answer yet is asked, then every row is written.

Answers are kept as they come, so that a run that follows another does only what is missing or has
changed. A run waits as long as it takes, or until the dataset's deadline.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from orchestration.batch.answering import report_pause_s
from orchestration.batch.asking import Terms
from orchestration.batch.asks import Shard
from orchestration.batch.journal import Journal
from orchestration.batch.progress import Course, Figures
from orchestration.batch.rows import RowsEngine
from orchestration.datasets.loading import LoadedDataset
from orchestration.datasets.output import (
    answer_rows,
    journal_file,
    note_version,
    output_file,
    write_output,
)
from orchestration.datasets.patterns import Portion
from orchestration.datasets.requests import Requests
from orchestration.datasets.sources import Rows
from orchestration.errors import RowsLeft
from serving.config import BATCH_ACCOUNT, Fleet, StateFolder

Report = Callable[[Figures], None]


class Answering(msgspec.Struct, frozen=True, kw_only=True):
    """How a run asks."""

    window: int = 0
    """Open requests of one model; 0: follows the slots of its replicas."""
    request_s: float = 3600.0
    retry_errors: bool = False
    """Ask again for rows that an earlier run ended with an error."""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did."""

    rows: int
    refused: int
    """Rows that could not be asked."""
    course: Course


class PortionRun:
    """Answers the rows of one portion."""

    def __init__(
        self,
        dataset: LoadedDataset,
        portion: Portion,
        fleet: Fleet,
        state: StateFolder,
        *,
        name: str,
        report: Report,
    ) -> None:
        """`name`: what its requests are named by."""
        self._dataset, self._portion = dataset, portion
        self._fleet, self._state = fleet, state
        self._models = {model.name: model for model in fleet.models}
        self._name, self._report = name, report

    def answer(self, rows: Rows, how: Answering) -> Answered:
        """Answer what is missing and write the output. Raises RowsLeft or PartitionBusy."""
        requests = Requests(self._dataset, self._portion, rows, self._models)
        shards, terms = requests.shards(), self._terms(how, time.time())
        with ExitStack() as stack:
            journals = {
                shard.name: stack.enter_context(Journal(self._journal_file(shard.model)))
                for shard in shards
            }
            course = self._go(shards, journals, terms, how)
            for _ in range(self._dataset.declared.retries.errors):
                if not _failed(shards, journals):
                    break
                again = msgspec.structs.replace(how, retry_errors=True)
                course = course.then(self._go(shards, journals, terms, again))
            answers = answer_rows(requests, rows, journals)
            columns = self._dataset.declared.output.columns
            write_output(output_file(self._dataset, self._portion), rows, columns, answers)
        if rows.written_ns is not None:
            note_version(self._dataset, self._portion, rows.written_ns)
        return Answered(rows=rows.frame.height, refused=len(requests.refused), course=course)

    def _go(
        self,
        shards: Sequence[Shard],
        journals: dict[str, Journal],
        terms: Terms,
        how: Answering,
    ) -> Course:
        """Ask once for everything that is missing."""
        engine = RowsEngine(
            shards, journals, self._models, window=how.window, retry_errors=how.retry_errors
        )
        asyncio.run(self._ask(engine, terms))
        return Course(figures=engine.figures(), curve=engine.progress.curve)

    def _journal_file(self, model: str) -> Path:
        return journal_file(self._dataset, self._portion, model)

    def _terms(self, how: Answering, began: float) -> Terms:
        gateway, due_h = self._fleet.gateway, self._dataset.declared.due_h
        return Terms(
            base_url=f"http://{gateway.address}:{gateway.port}",
            api_key=self._state.token(BATCH_ACCOUNT),
            name=self._name,
            checkpoint=f"{self._dataset.name}-{self._portion.partition or 'all'}",
            due_at=None if due_h is None else began + 3600 * due_h,
            request_s=how.request_s,
        )

    async def _ask(self, engine: RowsEngine, terms: Terms) -> None:
        """Until every row has an outcome. Raises RowsLeft at the deadline."""
        stop = asyncio.Event()
        left_s = None if terms.due_at is None else max(0.0, terms.due_at - time.time())
        telling = asyncio.create_task(self._tell(engine))
        try:
            async with asyncio.timeout(left_s):
                await engine.run(terms, stop)
        except TimeoutError as error:
            figures = engine.figures()
            raise RowsLeft(
                f"{figures.rows - figures.done} of {figures.rows} rows had no answer in time"
                + (f"; waited for {figures.waits_for}" if figures.waits_for else ""),
                where=f"{self._dataset.name}, {self._portion.words}",
                fix="Run it again: rows done are kept. Or give it more time with due_h.",
            ) from error
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _tell(self, engine: RowsEngine) -> None:
        """Report, ever more rarely."""
        began = time.monotonic()
        while True:
            await asyncio.sleep(report_pause_s(time.monotonic() - began))
            await asyncio.to_thread(self._report, engine.figures())


def _failed(shards: Sequence[Shard], journals: dict[str, Journal]) -> bool:
    """Whether an ask has no answer but an error."""
    return any(journals[shard.name].failed_keys() & set(shard.keys) for shard in shards)

"""Validating the inputs of new batches, one after the other, beside the gateway's other work.

A thread reads the input and gives way often, so that streams go on. What is found is an event of
the batch; whoever runs batches sees it in the catalog.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import structlog

from serving.batches import (
    INDEX_NAME,
    BatchError,
    BatchEvent,
    BatchRecord,
    BodyCheck,
    Catalog,
    Failed,
    FileStore,
    IllegalTransition,
    IndexWriter,
    InputSize,
    Refused,
    Rules,
    Validated,
    validate,
)

WORK_S = 0.001
"""A validating thread works about this long at a time: what a stream may have to wait for it."""
PAUSE_S = 0.00005

ExpectedSeconds = Callable[[InputSize], float | None]
"""How long a batch will take; None: that is not known."""
MakeBodyCheck = Callable[[str], Awaitable[BodyCheck]]
"""The check of bodies of an endpoint, once it can be made."""

log = structlog.get_logger(__name__)


class InputValidation:
    """Validates whatever is created, and what an earlier process left."""

    def __init__(
        self,
        catalog: Catalog,
        files: FileStore,
        *,
        work: Callable[[str], Path],
        models: Iterable[str],
        body_check: MakeBodyCheck,
        expected_s: ExpectedSeconds,
    ) -> None:
        self._catalog, self._files, self._work = catalog, files, work
        self._models = frozenset(models)
        self._body_check, self._expected_s = body_check, expected_s
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._stopped = threading.Event()

    def ask(self, batch_id: str) -> None:
        """Have a new batch validated."""
        self._queue.put_nowait(batch_id)

    async def run(self) -> None:
        """For as long as the gateway serves."""
        try:
            await self._run()
        finally:
            self._stopped.set()

    async def _run(self) -> None:
        for record in await asyncio.to_thread(self._catalog.open_batches):
            if not record.is_validated:
                self.ask(record.id)
        while True:
            batch_id = await self._queue.get()
            try:
                await self._settle(batch_id)
            except Exception:
                # The catalog was not to be had: the batch is taken up when a gateway starts.
                log.exception("batch_not_settled", batch=batch_id)

    async def _settle(self, batch_id: str) -> None:
        record = await asyncio.to_thread(self._catalog.batch, batch_id)
        if record.is_validated or record.is_terminal:
            return
        check = await self._body_check(record.endpoint)
        rules = Rules(record.endpoint, self._models, check)
        started = time.monotonic()
        try:
            event = await asyncio.to_thread(self._outcome, record, rules)
        except ValidationStopped:
            return
        except Exception as error:
            # Nothing of it has run, and trying again would end the same way.
            log.exception("batch_validation_failed", batch=batch_id)
            event = Failed((BatchError(code="validation_failed", message=str(error)),))
        try:
            changed = await asyncio.to_thread(self._catalog.apply, batch_id, event)
        except IllegalTransition as error:  # another gateway was first, and more has happened
            log.info("batch_validated_elsewhere", batch=batch_id, status=error.status)
            return
        log.info(
            "batch_validated",
            batch=batch_id,
            status=changed.status,
            lines=changed.lines,
            errors=len(changed.errors),
            seconds=time.monotonic() - started,
        )

    def _outcome(self, record: BatchRecord, rules: Rules) -> BatchEvent:
        index = IndexWriter()
        with self._files.path(record.input_file_id).open("rb") as content:
            report = validate(content, rules, index, GivesWay(self._stopped))
        if report.size is None:
            return Refused(report.errors)
        expected_s = self._expected_s(report.size)
        left_s = record.expires_at - time.time()
        if expected_s is not None and expected_s > left_s:
            return Refused((_too_long(record, expected_s),))
        index.save(self._work(record.id) / INDEX_NAME)
        return Validated(report.size.model, report.size.lines, expected_s)


class ValidationStopped(Exception):
    """The gateway ends; another start takes the batch up."""


class GivesWay:
    """Pauses a thread briefly whenever it has worked for WORK_S, and ends it once `stopped`."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._since = time.perf_counter()

    def __call__(self) -> None:
        """Between two pieces of work. Raises ValidationStopped."""
        if self._stopped.is_set():
            raise ValidationStopped
        if time.perf_counter() - self._since >= WORK_S:
            time.sleep(PAUSE_S)
            self._since = time.perf_counter()


def _too_long(record: BatchRecord, expected_s: float) -> BatchError:
    message = (
        f"the batch would take about {expected_s:.0f} s, longer than what is left of its window of "
        f"{record.completion_window}; ask for a longer one or make several batches of it"
    )
    return BatchError(code="window_too_short", message=message, param="completion_window")

"""Validating the inputs of new batches, one after the other, beside the gateway's other work.

A thread reads the input and gives way often, so that streams go on. What is found is an event of
the batch; whoever runs batches sees it in the catalog.
"""

import asyncio
import errno
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
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
from serving.gateway.lines.work import Duration

WORK_S = 0.001
"""A validating thread works about this long at a time: what a stream may have to wait for it."""
PAUSE_S = 0.00005
FULL = (errno.ENOSPC, errno.EDQUOT)
LOOK_EVERY_S = 60.0
"""How often a gateway looks for batches that were left unvalidated."""

ExpectDuration = Callable[[InputSize, Sequence[BatchRecord]], Duration]
"""How long a batch of this size will take behind the others that have not ended."""
MakeBodyCheck = Callable[[str], Awaitable[BodyCheck]]
"""The check of bodies of an endpoint, once it can be made."""

log = structlog.get_logger(__name__)


class InputValidation:
    """Validates what is created here, and what another gateway left."""

    def __init__(
        self,
        catalog: Catalog,
        files: FileStore,
        *,
        work: Callable[[str], Path],
        models: Iterable[str],
        body_check: MakeBodyCheck,
        expect: ExpectDuration,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._catalog, self._files, self._work = catalog, files, work
        self._models = frozenset(models)
        self._body_check, self._expect = body_check, expect
        self._look_every_s = look_every_s
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._look_at = 0.0
        self._stopped = threading.Event()

    def ask(self, batch_id: str) -> None:
        """Have a new batch validated."""
        self._queue.put_nowait(batch_id)

    async def run(self) -> None:
        """For as long as the gateway serves. May be run again."""
        self._stopped.clear()
        try:
            await self._run()
        finally:
            self._stopped.set()

    async def _run(self) -> None:
        self._look_at = 0.0
        while True:
            batch_id = await self._next()
            try:
                await self._settle(batch_id)
            except Exception:
                # The catalog was not to be had, or no room: the batch is taken up again.
                log.exception("batch_not_settled", batch=batch_id)

    async def _next(self) -> str:
        """The next batch; once in a while also one that was left, however many new ones come."""
        while True:
            if asyncio.get_running_loop().time() >= self._look_at:
                await self._take_up()
            # Python 3.11's wait_for may lose a cancellation that comes with an item.
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._look_at):
                    return await self._queue.get()

    async def _take_up(self) -> None:
        self._look_at = asyncio.get_running_loop().time() + self._look_every_s
        try:
            records = await asyncio.to_thread(self._catalog.open_batches)
        except sqlite3.Error:
            log.exception("open_batches_not_read")
            return
        for record in records:
            if not record.is_validated:
                self.ask(record.id)

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
            if isinstance(error, OSError) and error.errno in FULL:
                raise  # there may be room when it is taken up again
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
        others = [other for other in self._catalog.open_batches() if other.id != record.id]
        expected = self._expect(report.size, others)
        # One whose window has ended is validated too: it expires with a record of each line.
        if expected.least_s > max(0.0, record.expires_at - time.time()):
            return Refused((_too_long(record, expected.least_s),))
        index.save(self._work(record.id) / INDEX_NAME)
        return Validated(report.size.model, report.size.lines, report.size, expected.likely_s)


class ValidationStopped(Exception):
    """The gateway ends; another start takes the batch up."""


class GivesWay:
    """Pauses a thread briefly whenever it has worked for WORK_S, and ends it once `stopped`."""

    def __init__(
        self,
        stopped: threading.Event,
        *,
        clock: Callable[[], float] = time.perf_counter,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._stopped, self._clock, self._pause = stopped, clock, pause
        self._since = clock()

    def __call__(self) -> None:
        """Between two pieces of work. Raises ValidationStopped."""
        if self._stopped.is_set():
            raise ValidationStopped
        if self._clock() - self._since >= WORK_S:
            self._pause(PAUSE_S)
            self._since = self._clock()


def _too_long(record: BatchRecord, least_s: float) -> BatchError:
    message = (
        f"the batch takes {least_s:.0f} s at least, and its window of {record.completion_window} "
        "ends before; ask for a longer one, or make the batch smaller"
    )
    return BatchError(code="window_too_short", message=message, param="completion_window")

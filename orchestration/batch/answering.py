"""Answering a submitted batch: rows are asked while its record allows it, and people are told.

Beside the rows one task looks at the batch's record once a second: progress goes in, a cancellation
comes out. It also watches the window's end. Reports come at a bounded rate.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

import msgspec

from orchestration.batch.asking import Terms
from orchestration.batch.progress import Figures, Point
from orchestration.batch.rows import RowsEngine
from orchestration.batch.stopping import Stop, StopReason, stopped_by_signals
from orchestration.batch.submitted import Submitted
from serving.batches import BatchRecord
from serving.config import ModelSettings

LOOK_EVERY_S = 1.0
FIRST_REPORT_S = 10.0
LONGEST_REPORT_S = 600.0
REPORT_SHARE = 0.1
"""Reports come ever more rarely: the next after a tenth of the time that has gone by."""

Report = Callable[[Figures], None]


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did."""

    stopped: StopReason | None
    """None: every line has its outcome."""
    figures: Figures
    curve: tuple[Point, ...]


def answer(
    work: Submitted,
    terms: Terms,
    models: Mapping[str, ModelSettings],
    report: Report,
    *,
    window: int = 0,
) -> Answered:
    """Ask for the lines that are missing, until there are none or the batch is to stop."""
    return asyncio.run(_answer(work, terms, models, report, window))


async def _answer(
    work: Submitted,
    terms: Terms,
    models: Mapping[str, ModelSettings],
    report: Report,
    window: int,
) -> Answered:
    stop = Stop()
    engine = RowsEngine(work.shards, work.journals, models, window=window)
    with stopped_by_signals(stop):
        reason = why_stop(work.look(), time.time())
        if reason is not None:
            stop.ask(reason)
        else:
            await _until_stopped(work, engine, terms, stop, report)
    figures = engine.figures()
    await asyncio.to_thread(work.tell, figures)
    stopped = stop.reason if figures.done < figures.rows else None
    return Answered(stopped=stopped, figures=figures, curve=engine.progress.curve)


async def _until_stopped(
    work: Submitted, engine: RowsEngine, terms: Terms, stop: Stop, report: Report
) -> None:
    """The rows, and beside them the look at the record."""
    rows = asyncio.create_task(engine.run(terms, stop.event))
    beside = asyncio.create_task(_look(work, engine, stop, report))
    try:
        await asyncio.wait([rows, beside], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.event.set()
        beside.cancel()
        results = await asyncio.gather(rows, beside, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result


async def _look(work: Submitted, engine: RowsEngine, stop: Stop, report: Report) -> None:
    """Once a second: how far it is into the record, and whether to go on."""
    began = told = time.monotonic()
    while stop.reason is None:
        await asyncio.sleep(LOOK_EVERY_S)
        figures = engine.figures()
        await asyncio.to_thread(work.tell, figures)
        reason = why_stop(work.record, time.time())
        if reason is not None:
            stop.ask(reason)
        now = time.monotonic()
        if now - told >= report_pause_s(now - began):
            told = now
            await asyncio.to_thread(report, figures)


def why_stop(record: BatchRecord, now: float) -> StopReason | None:
    """Whether the lines of a batch are not to go on."""
    if record.status == "cancelling":
        return "cancelled"
    return "expired" if now >= record.expires_at else None


def report_pause_s(elapsed_s: float) -> float:
    """How long to say nothing, so long after the begin."""
    return min(LONGEST_REPORT_S, max(FIRST_REPORT_S, REPORT_SHARE * elapsed_s))

"""What the sensor does about a batch: start a run, wait, hand a cancellation on, give up. Pure.

A run that died is followed by another, which goes on from the journals: at once, unless runs keep
ending without a line more done. Then they come ever more rarely, and after so many of them in a row
the batch fails.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from serving.batches import BatchRecord

FRUITLESS_RUNS = 20
"""Runs in a row that ended without a line more done, after which the batch fails."""
FREE_RUNS = 3
"""Of these, so many follow each other at once; deaths come in groups."""
LONGEST_PAUSE_S = 300.0
START_S = 120.0
"""How long a started run may take to claim its batch; without the claim it is dead then."""

RunState = Literal["queued", "started", "ended", "terminated"]


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A run of the batch."""

    run_id: str
    state: RunState
    """`terminated`: by a person; `ended`: in any other way."""
    started_s: float = 0.0
    """How long ago it started."""
    ended_s: float = 0.0
    """How long ago it ended."""
    done_before: int | None = None
    """Lines done when it was asked for; None: it was started by hand."""


class Start(msgspec.Struct, frozen=True):
    """Ask for a run."""

    after: str
    """The run before it; empty for the first."""


class Wait(msgspec.Struct, frozen=True):
    """A run is under way or comes later."""

    why: str


class Bury(msgspec.Struct, frozen=True):
    """Dagster calls this run started, but its process is gone."""

    run_id: str


class Cancel(msgspec.Struct, frozen=True):
    """A person terminated the run: the batch is to be cancelled."""


class GiveUp(msgspec.Struct, frozen=True):
    """Runs keep ending without getting anything done."""

    run_id: str
    """The last one."""


Verdict = Start | Wait | Bury | Cancel | GiveUp


def next_step(record: BatchRecord, attempts: Sequence[Attempt], *, claimed: bool) -> Verdict:
    """What to do about a validated batch that is open; `attempts` latest first."""
    alive = [attempt for attempt in attempts if attempt.state in {"queued", "started"}]
    for attempt in alive:
        if attempt.state == "started" and not claimed and attempt.started_s >= START_S:
            return Bury(attempt.run_id)
    if alive or claimed:
        return Wait("a run is under way")
    if attempts and attempts[0].state == "terminated" and record.status == "in_progress":
        return Cancel()
    fruitless = _fruitless(record, attempts)
    if fruitless >= FRUITLESS_RUNS:
        return GiveUp(attempts[0].run_id)
    if attempts and attempts[0].ended_s < pause_s(fruitless):
        return Wait(f"{fruitless} runs got nothing done; the next one comes later")
    return Start(attempts[0].run_id if attempts else "")


def pause_s(fruitless: int) -> float:
    """How long to wait after so many runs that got nothing done."""
    if fruitless < FREE_RUNS:
        return 0.0
    return min(LONGEST_PAUSE_S, 2.0 ** (fruitless - FREE_RUNS + 1))


def _fruitless(record: BatchRecord, attempts: Sequence[Attempt]) -> int:
    """How many of the latest runs ended with as little done as there is now."""
    done = record.completed + record.failed
    count = 0
    for attempt in attempts:
        if attempt.state != "ended" or attempt.done_before is None:
            continue
        if attempt.done_before != done:
            break
        count += 1
    return count

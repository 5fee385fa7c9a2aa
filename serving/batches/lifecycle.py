"""The life of a batch as a pure state machine.

`after(record, event, now)` is the record after the event. An event that has happened already
changes nothing, so whoever is not sure may say it again. One that cannot happen raises
IllegalTransition.

    validating ─ Validated ─▶ in_progress ─ Finalizing ─▶ finalizing ─ Completed ─▶ completed
        │ Refused                  │ Expired                   │ Expired
        ▼                          ▼                           ▼
      failed                    expired                     expired

    validating, in_progress ─ CancelAsked ─▶ cancelling ─ Cancelled ─▶ cancelled
    everything that has not ended ─ Failed ─▶ failed
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from serving.batches.errors import IllegalTransition
from serving.batches.records import BatchError, BatchRecord, BatchStatus, InputSize, Usage


class Validated(msgspec.Struct, frozen=True):
    """Every line of the input is good."""

    model: str
    lines: int
    size: InputSize | None = None
    expected_s: float | None = None


class Refused(msgspec.Struct, frozen=True):
    """The input is not good; nothing of it runs."""

    errors: tuple[BatchError, ...]


class CancelAsked(msgspec.Struct, frozen=True):
    """Somebody wants it to stop."""


class Progress(msgspec.Struct, frozen=True):
    """How far it is: totals, not differences."""

    completed: int
    failed: int
    usage: Usage


class Finalizing(msgspec.Struct, frozen=True):
    """Every line is done; its files are being written."""


class Completed(msgspec.Struct, frozen=True):
    """Its files are there."""

    output_file_id: str | None
    error_file_id: str | None


class Cancelled(msgspec.Struct, frozen=True):
    """It stopped as somebody wanted; its files account for every line."""

    output_file_id: str | None = None
    error_file_id: str | None = None


class Expired(msgspec.Struct, frozen=True):
    """Its window ended first; its files account for every line."""

    output_file_id: str | None = None
    error_file_id: str | None = None


class Failed(msgspec.Struct, frozen=True):
    """It cannot be run, and that is not its input's fault; its files say what was done before."""

    errors: tuple[BatchError, ...]
    output_file_id: str | None = None
    error_file_id: str | None = None


BatchEvent: TypeAlias = (
    Validated
    | Refused
    | CancelAsked
    | Progress
    | Finalizing
    | Completed
    | Cancelled
    | Expired
    | Failed
)
_FROM: dict[type[Any], frozenset[BatchStatus]] = {
    Validated: frozenset({"validating", "cancelling"}),
    Refused: frozenset({"validating", "cancelling"}),
    CancelAsked: frozenset({"validating", "in_progress"}),
    Progress: frozenset({"in_progress", "finalizing", "cancelling"}),
    Finalizing: frozenset({"in_progress"}),
    Completed: frozenset({"finalizing"}),
    Cancelled: frozenset({"cancelling"}),
    Expired: frozenset({"in_progress", "finalizing"}),
    Failed: frozenset({"validating", "in_progress", "finalizing", "cancelling"}),
}


def after(record: BatchRecord, event: BatchEvent, now: int) -> BatchRecord:
    """`record` once `event` has happened at `now`. Raises IllegalTransition."""
    if _has_happened(record, event):
        return record
    if record.status not in _FROM[type(event)] or not _fits(record, event):
        raise IllegalTransition(record.id, record.status, type(event).__name__)
    return msgspec.structs.replace(record, **_CHANGES[type(event)](record, event, now))


def _has_happened(record: BatchRecord, event: BatchEvent) -> bool:
    match event:
        case Validated():
            return record.is_validated
        case Refused():
            return record.status in {"failed", "cancelled"} and not record.is_validated
        case CancelAsked():
            return record.status in {"cancelling", "cancelled"}
        case Finalizing():
            return record.status == "finalizing"
        case Completed() | Cancelled() | Expired() | Failed():
            return record.status == type(event).__name__.lower()
        case Progress():
            return False


def _fits(record: BatchRecord, event: BatchEvent) -> bool:
    """Whether what the event says goes with what is known of the batch."""
    match event:
        case Progress():
            return record.is_validated and event.completed + event.failed <= record.lines
        case Validated():
            return event.lines > 0
        case Refused():
            return not record.is_validated
        case _:
            return True


def _validated(record: BatchRecord, event: Validated, now: int) -> dict[str, Any]:
    known = msgspec.structs.asdict(event)
    if record.status == "cancelling":
        return known
    return {**known, "status": "in_progress", "in_progress_at": now}


def _refused(record: BatchRecord, event: Refused, now: int) -> dict[str, Any]:
    if record.status == "cancelling":
        return {"status": "cancelled", "cancelled_at": now, "errors": event.errors}
    return {"status": "failed", "failed_at": now, "errors": event.errors}


def _progress(_record: BatchRecord, event: Progress, _now: int) -> dict[str, Any]:
    return {"completed": event.completed, "failed": event.failed, "usage": event.usage}


def _failed(record: BatchRecord, event: Failed, now: int) -> dict[str, Any]:
    return {**_ended("failed")(record, event, now), "errors": event.errors}


def _reached(status: BatchStatus) -> Callable[[BatchRecord, Any, int], dict[str, Any]]:
    """The change of an event that says no more than its name."""

    def change(_record: BatchRecord, _event: Any, now: int) -> dict[str, Any]:
        return {"status": status, f"{status}_at": now}

    return change


def _ended(status: BatchStatus) -> Callable[[BatchRecord, Any, int], dict[str, Any]]:
    """The change of an event that brings the batch's files."""

    def change(_record: BatchRecord, event: Any, now: int) -> dict[str, Any]:
        files = {"output_file_id": event.output_file_id, "error_file_id": event.error_file_id}
        return {"status": status, f"{status}_at": now, **files}

    return change


_CHANGES: dict[type[Any], Callable[[BatchRecord, Any, int], dict[str, Any]]] = {
    Validated: _validated,
    Refused: _refused,
    CancelAsked: _reached("cancelling"),
    Progress: _progress,
    Finalizing: _reached("finalizing"),
    Completed: _ended("completed"),
    Cancelled: _ended("cancelled"),
    Expired: _ended("expired"),
    Failed: _failed,
}

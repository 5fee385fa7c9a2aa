"""Files and batches in the form of OpenAI's objects. Pure."""

from collections.abc import Callable
from typing import Any

import msgspec

from serving.batches import BatchRecord, FileRecord, Page, Usage

_TIMES = (
    "created_at",
    "in_progress_at",
    "expires_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelling_at",
    "cancelled_at",
)


def file_object(record: FileRecord) -> dict[str, Any]:
    """OpenAI's `file`."""
    return {
        "id": record.id,
        "object": "file",
        "bytes": record.bytes,
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        "filename": record.filename,
        "purpose": record.purpose,
        "status": "processed",
        "status_details": None,
    }


def deleted_file(file_id: str) -> dict[str, Any]:
    """What the deletion of a file answers."""
    return {"id": file_id, "object": "file", "deleted": True}


def batch_object(record: BatchRecord) -> dict[str, Any]:
    """OpenAI's `batch`; and `expected_s`, how long it was expected to take once validated."""
    counts = {"total": record.lines, "completed": record.completed, "failed": record.failed}
    return {
        "id": record.id,
        "object": "batch",
        "endpoint": record.endpoint,
        "model": record.model,
        "errors": _errors(record),
        "input_file_id": record.input_file_id,
        "completion_window": record.completion_window,
        "status": record.status,
        "output_file_id": record.output_file_id,
        "error_file_id": record.error_file_id,
        **{name: getattr(record, name) for name in _TIMES},
        "request_counts": counts,
        "usage": None if record.usage is None else _usage(record.usage),
        "metadata": record.metadata,
        "expected_s": record.expected_s,
    }


def page_object(page: Page[Any], form: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """OpenAI's `list` of a page's records."""
    ids = [record.id for record in page.records]
    return {
        "object": "list",
        "data": [form(record) for record in page.records],
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": page.has_more,
    }


def _errors(record: BatchRecord) -> dict[str, Any] | None:
    if not record.errors:
        return None
    absent = {"code": None, "line": None, "message": None, "param": None}
    data = [absent | msgspec.to_builtins(error) for error in record.errors]
    return {"object": "list", "data": data}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }

"""What is kept of a file and of a batch.

The fields are those of OpenAI's objects, and what a run needs beside them. How the API spells them
is the gateway's; what may change when is `serving.batches.lifecycle`.
"""

import hashlib
import secrets
from typing import Literal

import msgspec

Purpose = Literal["batch", "batch_output"]
BatchStatus = Literal[
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
]
TERMINAL: frozenset[BatchStatus] = frozenset({"failed", "completed", "expired", "cancelled"})
"""Nothing happens to a batch in one of these any more."""
ResultKind = Literal["output", "error"]


class FileRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A file whose content is in the file store. Times are Unix seconds."""

    id: str
    account: str
    """Whose it is; empty where the gateway asks for no keys."""
    purpose: Purpose
    filename: str
    bytes: int
    created_at: int
    expires_at: int | None = None
    batch_id: str | None = None
    """The batch that wrote it."""

    def is_expired(self, now: float) -> bool:
        """Whether it may not be read any more."""
        return self.expires_at is not None and self.expires_at <= now


class BatchError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a batch, or a line of its input, was refused."""

    code: str
    message: str
    line: int | None = None
    """Line of the input file, from 1."""
    param: str | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens of the lines that are done."""

    input_tokens: int = 0
    cached_tokens: int = 0
    """Those of the input that an engine's cache had."""
    output_tokens: int = 0
    reasoning_tokens: int = 0
    """Those of the output that were reasoning."""

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens


class InputSize(msgspec.Struct, frozen=True, kw_only=True):
    """How much work an input is, as far as that shows before it runs."""

    model: str
    lines: int
    body_bytes: int
    """Of all lines; what is said to the model is a part of it."""
    max_output_tokens: int
    """Sum over the lines that bound their output."""
    unbounded_lines: int
    """Lines that do not."""


class BatchRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A batch. Times are Unix seconds; one that is None has not come."""

    id: str
    account: str
    """Whose it is; empty where the gateway asks for no keys."""
    input_file_id: str
    endpoint: str
    """The path that every line asks."""
    completion_window: str
    """As it was asked for, such as `24h`."""
    created_at: int
    expires_at: int
    status: BatchStatus = "validating"
    metadata: dict[str, str] | None = None
    output_expires_after_s: int | None = None
    """How long its output and error file are kept; None: until they are deleted."""
    idempotency_key: str | None = None

    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None

    model: str | None = None
    """The one model of all lines; known once it is validated."""
    lines: int = 0
    """Lines of the input; 0 until it is validated."""
    size: InputSize | None = None
    """How much work it is; known once it is validated."""
    expected_s: float | None = None
    """How long it was expected to take when it was validated; None: nobody could say."""
    completed: int = 0
    """Lines that were answered."""
    failed: int = 0
    """Lines that have an error for an answer."""
    usage: Usage | None = None
    errors: tuple[BatchError, ...] = ()
    output_file_id: str | None = None
    error_file_id: str | None = None

    @property
    def window_s(self) -> int:
        """How long the batch may take, from its creation."""
        return self.expires_at - self.created_at

    @property
    def is_validated(self) -> bool:
        """Whether its input was found good, so that lines can run or be accounted for."""
        return self.lines > 0

    @property
    def ended_at(self) -> int | None:
        """When it ended; None: it has not."""
        ends = {
            "completed": self.completed_at,
            "failed": self.failed_at,
            "expired": self.expired_at,
            "cancelled": self.cancelled_at,
        }
        return ends.get(self.status)

    @property
    def is_terminal(self) -> bool:
        """Whether nothing happens to it any more."""
        return self.status in TERMINAL


def new_file_id() -> str:
    """An id that no other file has."""
    return f"file-{secrets.token_hex(16)}"


def new_batch_id() -> str:
    """An id that no other batch has."""
    return f"batch_{secrets.token_hex(16)}"


def result_file_id(batch_id: str, kind: ResultKind) -> str:
    """The id of a batch's output or error file: the same however often it is written."""
    digest = hashlib.sha256(f"{batch_id} {kind}".encode()).hexdigest()
    return f"file-{digest[:32]}"

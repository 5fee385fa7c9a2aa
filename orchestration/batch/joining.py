"""The end of a batch: one record for every input line, in input order, in two files. Streaming.

Answers go to the output file, everything else to the error file, in the form of OpenAI's Batch API.
What is written depends on input and journals alone, so joining again gives the same bytes.
"""

import hashlib
from collections.abc import Iterable
from typing import Protocol

import msgspec

from orchestration.batch.asks import Outcome, RowError


class Sink(Protocol):
    """Where bytes go."""

    def write(self, data: bytes, /) -> object:
        """Add to the end."""


class _Response(msgspec.Struct, frozen=True):
    status_code: int
    request_id: str
    body: msgspec.Raw


class _Record(msgspec.Struct, frozen=True):
    """A line of an output or error file, in the order of OpenAI's fields."""

    id: str
    custom_id: str
    response: _Response | None
    error: RowError | None


_encode = msgspec.json.Encoder().encode
_LINE_BREAKS = {
    sign.encode(): f"\\u{ord(sign):04x}".encode() for sign in ("\u0085", "\u2028", "\u2029")
}
"""Characters that JSON may have as they are, and where Python's `splitlines`, and with it the
`openai` client's `iter_lines`, breaks a line. Written as escapes they break nothing."""


def join(
    batch_id: str,
    lines: Iterable[tuple[int, str, Outcome | None]],
    missing: RowError,
    output: Sink,
    errors: Sink,
) -> None:
    """Write the record of every line: its number, its custom id, its outcome if there is one."""
    for number, custom_id, outcome in lines:
        done = outcome or Outcome(key=number, custom_id=custom_id, error=missing)
        sink = output if done.ok else errors
        sink.write(_line(_encode(record_of(batch_id, number, done))))


def _line(record: bytes) -> bytes:
    """JSON as a line, for whoever takes what for the end of one."""
    for sign, escaped in _LINE_BREAKS.items():
        record = record.replace(sign, escaped)
    return record + b"\n"


def record_of(batch_id: str, number: int, outcome: Outcome) -> _Record:
    """The record of a line."""
    digest = hashlib.sha256(f"{batch_id} {number}".encode()).hexdigest()
    response = None
    if outcome.status is not None:
        response = _Response(outcome.status, outcome.request_id, outcome.body)
    return _Record(f"batch_req_{digest[:32]}", outcome.custom_id, response, outcome.error)

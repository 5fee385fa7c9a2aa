"""Rows done of one partition: an append-only file, one JSON object a line.

One process at a time holds it (a lock that dies with the process). A line cut short by a death is
dropped when the file is opened again; lines since the last `sync` may be lost with the machine,
never with the process.
"""

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from orchestration.errors import PartitionBusy

SYNC_EVERY_S = 1.0


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """One row's outcome."""

    id: str
    model: str
    fingerprint: str
    """Of the prompt that was asked."""
    completion: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    error: str | None = None


class Checkpoint:
    """The rows done so far; a context manager that holds the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._synced_at = 0.0
        self.done: dict[str, Completion] = {}

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise PartitionBusy(
                "another run is doing this partition",
                where=str(self._path),
                fix="Wait for it, or cancel it.",
            ) from error
        self._load(self._file)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._file is not None
        self._sync(self._file)
        self._file.close()

    def add(self, row: Completion) -> None:
        """Keep a row; what a person sees as done survives this process."""
        assert self._file is not None
        self._file.write(msgspec.json.encode(row) + b"\n")
        self._file.flush()
        self.done[row.id] = row
        if time.monotonic() - self._synced_at >= SYNC_EVERY_S:
            self._sync(self._file)

    def _sync(self, file: BinaryIO) -> None:
        file.flush()
        os.fsync(file.fileno())
        self._synced_at = time.monotonic()

    def _load(self, file: BinaryIO) -> None:
        """Read the whole lines; cut off what follows the last of them."""
        file.seek(0)
        end = 0
        for line in file:
            if not line.endswith(b"\n"):
                break
            row = msgspec.json.decode(line, type=Completion)
            self.done[row.id] = row
            end += len(line)
        file.truncate(end)

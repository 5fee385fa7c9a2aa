"""Outcomes of a shard as they come: an append-only file, one JSON object a line.

One process at a time holds it (a lock that dies with the process). A row is with the system when
`add` returns, so it survives the process; `sync` makes it survive the machine. A line cut short by
a death, and whatever follows it, is cut off when the file is opened again. Of several outcomes of
one ask the first answer counts; an error counts until another outcome follows.

Only keys and places are held in memory, so that the size of answers does not matter.
"""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from orchestration.batch.asks import Outcome, Tokens
from orchestration.errors import PartitionBusy

_decoder = msgspec.json.Decoder(Outcome)
_encoder = msgspec.json.Encoder()


class Journal:
    """The outcomes so far; a context manager that holds the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._places: dict[int, int] = {}
        self._failed: set[int] = set()
        self._end = 0
        self._synced = 0
        self.tokens = Tokens()
        """Of all outcomes that count."""

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
        self.sync()
        self._open_file.close()

    def __contains__(self, key: int) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    @property
    def failed(self) -> int:
        """How many asks have no answer but an error."""
        return len(self._failed)

    def failed_keys(self) -> frozenset[int]:
        """Of asks whose outcome is an error."""
        return frozenset(self._failed)

    def add(self, outcome: Outcome) -> bool:
        """Keep an outcome; False if the ask has its answer already."""
        if not self._counts(outcome):
            return False
        line = _encoder.encode(outcome) + b"\n"
        self._open_file.write(line)
        self._open_file.flush()
        self._note(outcome, self._end)
        self._end += len(line)
        return True

    def read(self, key: int) -> Outcome | None:
        """The outcome that counts for `key`, from the file."""
        place = self._places.get(key)
        return None if place is None else self._at(place)

    def outcomes(self) -> Iterator[Outcome]:
        """Every outcome that counts, in the order of the file's."""
        for place in sorted(self._places.values()):
            yield self._at(place)

    def sync(self) -> None:
        """Have the rows survive the machine. May be called from another thread than `add`."""
        end = self._end
        if end != self._synced:
            os.fsync(self._open_file.fileno())
            self._synced = end

    @property
    def _open_file(self) -> BinaryIO:
        assert self._file is not None, "a journal is used inside its context"
        return self._file

    def _counts(self, outcome: Outcome) -> bool:
        return outcome.key not in self._places or outcome.key in self._failed

    def _note(self, outcome: Outcome, place: int) -> None:
        self._places[outcome.key] = place
        self.tokens += outcome.tokens
        if outcome.ok:
            self._failed.discard(outcome.key)
        else:
            self._failed.add(outcome.key)

    def _at(self, place: int) -> Outcome:
        self._open_file.seek(place)
        return _decoder.decode(self._open_file.readline())

    def _load(self, file: BinaryIO) -> None:
        """Read the whole lines; cut off what follows the last of them."""
        file.seek(0)
        for line in file:
            try:
                outcome = _decoder.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                break
            if not line.endswith(b"\n"):
                break
            if self._counts(outcome):
                self._note(outcome, self._end)
            self._end += len(line)
        file.truncate(self._end)
        self._synced = self._end

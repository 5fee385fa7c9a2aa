"""The lines of a batch's input: an index of where each begins, and reading any range of them.

The index is written while the input is validated. Lines are numbered from 0 in the order of the
file; blank ones do not count.
"""

import array
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

INDEX_NAME = "lines"
"""Name of the index in a batch's work folder."""
_ITEM = "Q"


class InputLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a validated input."""

    custom_id: str
    url: str
    body: msgspec.Raw
    method: str = "POST"


_decode = msgspec.json.Decoder(InputLine).decode


class IndexWriter:
    """Collects where lines are; 16 bytes a line."""

    def __init__(self) -> None:
        self._items = array.array(_ITEM)

    def add(self, offset: int, length_bytes: int) -> None:
        """The next line."""
        self._items.append(offset)
        self._items.append(length_bytes)

    def save(self, path: Path) -> None:
        """Write the index whole and durably."""
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        with draft.open("wb") as file:
            self._items.tofile(file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)


class InputLines:
    """A validated input, read by line number. Lines are read as they are asked for."""

    def __init__(self, content: Path, index: Path) -> None:
        self._index = array.array(_ITEM, index.read_bytes())
        self._file = content.open("rb")

    def __len__(self) -> int:
        return len(self._index) // 2

    def raw(self, number: int) -> bytes:
        """The bytes of a line."""
        self._file.seek(self._index[2 * number])
        return self._file.read(self._index[2 * number + 1])

    def read(self, first: int = 0, last: int | None = None) -> Iterator[tuple[int, InputLine]]:
        """Lines `first` to before `last`, with their numbers."""
        for number in range(first, len(self) if last is None else min(last, len(self))):
            yield number, _decode(self.raw(number))

    def close(self) -> None:
        """Close the input."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

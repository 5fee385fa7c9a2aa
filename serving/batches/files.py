"""The file store: content of files, one file a record, never whole in memory.

New content goes into a draft; keeping the draft makes it durable, gives it its name, and registers
it. A reader therefore sees whole files only, and a crash leaves at most a draft.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from serving.batches.catalog import Catalog
from serving.batches.records import FileRecord, Purpose, new_file_id

LEFTOVER_AFTER_S = 24 * 3600.0
"""A draft, or content without a record, is a crash's leftover once it is this old."""


class Draft:
    """Content that is still being written."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.size_bytes = 0
        self._file = file

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Add to the end."""
        self._file.write(data)
        self.size_bytes += len(data)

    def sync(self) -> None:
        """Have the disk keep what was written."""
        self._file.flush()
        os.fsync(self._file.fileno())


class FileStore:
    """The content of the files that a catalog names."""

    def __init__(
        self, folder: Path, catalog: Catalog, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder, self._catalog, self._clock = folder, catalog, clock
        self._drafts = folder / "drafts"
        self._drafts.mkdir(parents=True, exist_ok=True)

    def path(self, file_id: str) -> Path:
        """Where the content is; not asked whether it is there."""
        return self._folder / file_id

    @contextmanager
    def draft(self) -> Iterator[Draft]:
        """A new draft; it goes away with the block unless it was kept."""
        path = self._drafts / secrets.token_hex(16)
        with path.open("wb") as file:
            try:
                yield Draft(path, file)
            finally:
                path.unlink(missing_ok=True)

    def keep(
        self,
        draft: Draft,
        *,
        account: str,
        purpose: Purpose,
        filename: str,
        expires_after_s: int | None = None,
        batch_id: str | None = None,
        file_id: str | None = None,
    ) -> FileRecord:
        """Make a draft a file and register it.

        With the `file_id` of a file that is there, its content and record are replaced.
        """
        now = int(self._clock())
        record = FileRecord(
            id=file_id or new_file_id(),
            account=account,
            purpose=purpose,
            filename=filename,
            bytes=draft.size_bytes,
            created_at=now,
            expires_at=None if expires_after_s is None else now + expires_after_s,
            batch_id=batch_id,
        )
        draft.sync()
        draft.path.replace(self.path(record.id))
        _sync_folder(self._folder)
        self._catalog.put_file(record)
        return record

    def remove(self, file_id: str, *, account: str | None = None) -> None:
        """Forget a file and drop its content. Raises NoSuchRecord or FileInUse."""
        self._catalog.remove_file(file_id, account=account)
        self.path(file_id).unlink(missing_ok=True)

    def drop(self, file_ids: Iterable[str]) -> None:
        """Drop the content of files that the catalog has forgotten."""
        for file_id in file_ids:
            self.path(file_id).unlink(missing_ok=True)

    def drop_leftovers(self) -> int:
        """Drop what crashes left behind: old drafts, and old content without a record; how much."""
        known = self._catalog.file_ids()
        left = [
            path
            for path in (*self._drafts.iterdir(), *self._folder.glob("file-*"))
            if path.name not in known and self._is_leftover(path)
        ]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def _is_leftover(self, path: Path) -> bool:
        try:
            return path.stat().st_mtime < self._clock() - LEFTOVER_AFTER_S
        except FileNotFoundError:  # kept or removed meanwhile
            return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

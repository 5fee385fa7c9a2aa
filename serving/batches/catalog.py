"""The catalog: every record of files and batches, in one SQLite file that processes share.

Each change is one transaction and durable when the call returns. Content of files is the file
store's; what goes when its time is over is `serving.batches.retention`'s to say.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path

import msgspec

from serving.batches.database import Database
from serving.batches.errors import FileInUse, KeyReused, NoSuchRecord, NotAnInput
from serving.batches.lifecycle import BatchEvent, after
from serving.batches.paging import Order, Page, Place, read_page
from serving.batches.records import TERMINAL, BatchError, BatchRecord, FileRecord
from serving.batches.retention import Due, due

LISTED_ERRORS = 100
"""Errors of a batch that lists carry; the batch itself, asked for alone, has all of them. They are
kept apart, or a list of bad batches would be read as gigabytes."""
_ENDED = ", ".join(f"'{status}'" for status in sorted(TERMINAL))

_encode = msgspec.json.Encoder().encode
_file = msgspec.json.Decoder(FileRecord).decode
_batch = msgspec.json.Decoder(BatchRecord).decode
_errors = msgspec.json.Decoder(tuple[BatchError, ...]).decode


class Catalog:
    """The records. Any thread may call; `account=None` means whoever's it is."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = Database(path), clock

    def close(self) -> None:
        """Let go of the file; a later call opens it again."""
        self._database.close()

    def put_file(self, record: FileRecord) -> None:
        """Add a file's record, or replace the one with its id."""
        with self._database.transaction() as rows:
            rows.execute(
                "INSERT INTO files (id, account, purpose, expires_at, record)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
                " expires_at = excluded.expires_at, record = excluded.record",
                (record.id, record.account, record.purpose, record.expires_at, _encode(record)),
            )

    def file(self, file_id: str, *, account: str | None = None) -> FileRecord:
        """The record of a file that has not expired. Raises NoSuchRecord."""
        with self._database.reading() as rows:
            return self._file(rows, file_id, account)

    def files(
        self,
        *,
        account: str | None = None,
        purpose: str | None = None,
        after_id: str | None = None,
        limit: int = 10_000,
        order: Order = "desc",
    ) -> Page[FileRecord]:
        """A page of the files that have not expired.

        Raises NoSuchRecord for an unknown `after_id`.
        """
        where = "(expires_at IS NULL OR expires_at > ?) AND (? IS NULL OR purpose = ?)"
        given = (self._now(), purpose, purpose)
        with self._database.reading() as rows:
            place = Place(account, after_id, limit, order)
            return read_page(rows, "file", place, _file, where, given)

    def remove_file(self, file_id: str, *, account: str | None = None) -> None:
        """Forget a file. Raises NoSuchRecord, or FileInUse if a batch still reads it."""
        with self._database.transaction() as rows:
            self._file(rows, file_id, account)
            user = rows.execute(
                f"SELECT id FROM batches WHERE input_file_id = ? AND status NOT IN ({_ENDED})",  # noqa: S608 - constants
                (file_id,),
            ).fetchone()
            if user is not None:
                raise FileInUse(file_id, user[0])
            rows.execute("DELETE FROM files WHERE id = ?", (file_id,))

    def file_ids(self) -> set[str]:
        """The ids of all files, also of those that have expired."""
        with self._database.reading() as rows:
            return {row[0] for row in rows.execute("SELECT id FROM files")}

    def forget_due(self, retention_s: float) -> Due:
        """Forget files whose time is over, and batches that ended so long ago; which those were."""
        now = self._now()
        with self._database.transaction() as rows:
            gone = due(
                [*_open(rows), *_ended_of(rows, created_until=now - retention_s)],
                _files_that_may_go(rows, now),
                now=now,
                retention_s=retention_s,
            )
            rows.executemany("DELETE FROM batches WHERE id = ?", [(id_,) for id_ in gone.batches])
            rows.executemany("DELETE FROM files WHERE id = ?", [(id_,) for id_ in gone.files])
        return gone

    def create_batch(self, record: BatchRecord) -> BatchRecord:
        """Add a batch; or the one that its idempotency key made before.

        Raises NoSuchRecord if its input file is not there, NotAnInput if that is no input,
        KeyReused if the key made another batch.
        """
        with self._database.transaction() as rows:
            before = rows.execute(
                "SELECT record FROM batches WHERE account = ? AND idempotency_key = ?",
                (record.account, record.idempotency_key),
            ).fetchone()
            if before is not None:
                return _same_request(_batch(before[0]), record)
            file = self._file(rows, record.input_file_id, record.account)
            if file.purpose != "batch":
                raise NotAnInput(file.id, file.purpose)
            rows.execute(
                "INSERT INTO batches"
                " (id, account, idempotency_key, input_file_id, status, record)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    record.id,
                    record.account,
                    record.idempotency_key,
                    record.input_file_id,
                    record.status,
                    _encode(record),
                ),
            )
        return record

    def batch(self, batch_id: str, *, account: str | None = None) -> BatchRecord:
        """The record of a batch. Raises NoSuchRecord."""
        with self._database.reading() as rows:
            return _found_batch(rows, batch_id, account)

    def batches(
        self,
        *,
        account: str | None = None,
        after_id: str | None = None,
        limit: int = 20,
        order: Order = "desc",
    ) -> Page[BatchRecord]:
        """A page of batches. Raises NoSuchRecord for an unknown `after_id`."""
        with self._database.reading() as rows:
            place = Place(account, after_id, limit, order)
            return read_page(rows, "batch", place, _batch)

    def open_batches(self) -> list[BatchRecord]:
        """Batches that have not ended, oldest first."""
        with self._database.reading() as rows:
            return _open(rows)

    def batch_ids(self) -> set[str]:
        """The ids of all batches."""
        with self._database.reading() as rows:
            return {row[0] for row in rows.execute("SELECT id FROM batches")}

    def apply(self, batch_id: str, event: BatchEvent, *, account: str | None = None) -> BatchRecord:
        """Let `event` happen to a batch; the batch afterwards.

        Raises NoSuchRecord, or IllegalTransition; then nothing has changed.
        """
        with self._database.transaction() as rows:
            record = _found_batch(rows, batch_id, account)
            changed = after(record, event, self._now())
            if changed != record:
                rows.execute(
                    "UPDATE batches SET status = ?, record = ?, errors = ? WHERE id = ?",
                    (changed.status, *_apart(changed), batch_id),
                )
        return changed

    def _file(self, rows: sqlite3.Connection, file_id: str, account: str | None) -> FileRecord:
        found = rows.execute("SELECT record FROM files WHERE id = ?", (file_id,)).fetchone()
        record = None if found is None else _file(found[0])
        if (
            record is None
            or record.is_expired(self._now())
            or account not in {None, record.account}
        ):
            raise NoSuchRecord("file", file_id)
        return record

    def _now(self) -> int:
        return int(self._clock())


def _found_batch(rows: sqlite3.Connection, batch_id: str, account: str | None) -> BatchRecord:
    found = rows.execute("SELECT record, errors FROM batches WHERE id = ?", (batch_id,)).fetchone()
    record = None if found is None else _batch(found[0])
    if record is None or account not in {None, record.account}:
        raise NoSuchRecord("batch", batch_id)
    if found[1] is None:
        return record
    return msgspec.structs.replace(record, errors=_errors(found[1]))


def _open(rows: sqlite3.Connection) -> list[BatchRecord]:
    found = rows.execute(
        f"SELECT record FROM batches WHERE status NOT IN ({_ENDED}) ORDER BY seq"  # noqa: S608 - constants
    )
    return [_batch(row[0]) for row in found]


def _ended_of(rows: sqlite3.Connection, *, created_until: float) -> Iterator[BatchRecord]:
    """The batches that have ended, oldest first, as far as they were created until then."""
    found = rows.execute(
        f"SELECT record FROM batches NOT INDEXED WHERE status IN ({_ENDED}) ORDER BY seq"  # noqa: S608 - constants
    )
    records = (_batch(row[0]) for row in found)
    return takewhile(lambda record: record.created_at <= created_until, records)


def _files_that_may_go(rows: sqlite3.Connection, now: int) -> list[FileRecord]:
    """Those whose time is over, and those that go with their batch."""
    found = rows.execute(
        "SELECT record FROM files WHERE expires_at <= ?"
        " UNION ALL SELECT record FROM files WHERE expires_at IS NULL AND purpose != 'batch'",
        (now,),
    )
    return [_file(row[0]) for row in found]


def _apart(record: BatchRecord) -> tuple[bytes, bytes | None]:
    """The columns `record` and `errors`: the latter has all, if the former would be too long."""
    if len(record.errors) <= LISTED_ERRORS:
        return _encode(record), None
    listed = msgspec.structs.replace(record, errors=record.errors[:LISTED_ERRORS])
    return _encode(listed), _encode(record.errors)


_ASKED = ("input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after_s")


def _same_request(before: BatchRecord, again: BatchRecord) -> BatchRecord:
    if any(getattr(before, name) != getattr(again, name) for name in _ASKED):
        raise KeyReused(str(again.idempotency_key), before.id)
    return before

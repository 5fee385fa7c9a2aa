"""The catalog: every record of files and batches, in one SQLite file that processes share.

Each change is one transaction and durable when the call returns. Every change of a batch gets a
version, one higher than any before, so a reader can ask for what changed since it last looked.
Content of files is the file store's.
"""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from serving.batches.database import Database
from serving.batches.errors import FileInUse, KeyReused, NoSuchRecord
from serving.batches.lifecycle import BatchEvent, after
from serving.batches.paging import Order, Page
from serving.batches.records import TERMINAL, BatchRecord, FileRecord

LISTED_ERRORS = 100
"""Errors of a batch that lists carry; the batch itself, asked for alone, has all of them."""
_ENDED = ", ".join(f"'{status}'" for status in sorted(TERMINAL))

_encode = msgspec.json.Encoder().encode
_file = msgspec.json.Decoder(FileRecord).decode
_batch = msgspec.json.Decoder(BatchRecord).decode


class Change(msgspec.Struct, frozen=True):
    """A batch as it is, and the version of its last change."""

    version: int
    record: BatchRecord


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
            found = _page(rows, "file", account, after_id, limit, order, where, given)
        return Page(tuple(_file(row) for row in found[:limit]), len(found) > limit)

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

    def forget_expired_files(self) -> list[str]:
        """Forget files whose time is over and that no batch reads; their ids."""
        with self._database.transaction() as rows:
            gone = rows.execute(
                "DELETE FROM files WHERE expires_at <= ? AND id NOT IN (SELECT input_file_id"  # noqa: S608 - constants
                f" FROM batches WHERE status NOT IN ({_ENDED})) RETURNING id",
                (self._now(),),
            ).fetchall()
        return [row[0] for row in gone]

    def create_batch(self, record: BatchRecord) -> BatchRecord:
        """Add a batch; or the one that its idempotency key made before.

        Raises NoSuchRecord if its input file is not there, KeyReused if the key made another batch.
        """
        with self._database.transaction() as rows:
            before = rows.execute(
                "SELECT record FROM batches WHERE account = ? AND idempotency_key = ?",
                (record.account, record.idempotency_key),
            ).fetchone()
            if before is not None:
                return _same_request(_batch(before[0]), record)
            self._file(rows, record.input_file_id, record.account)
            rows.execute(
                "INSERT INTO batches"
                " (id, account, idempotency_key, input_file_id, status, version, record)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    record.id,
                    record.account,
                    record.idempotency_key,
                    record.input_file_id,
                    record.status,
                    _next_version(rows),
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
            found = _page(rows, "batch", account, after_id, limit, order, "TRUE", ())
        return Page(tuple(_listed(row) for row in found[:limit]), len(found) > limit)

    def open_batches(self) -> list[BatchRecord]:
        """Batches that have not ended, oldest first."""
        with self._database.reading() as rows:
            found = rows.execute(
                f"SELECT record FROM batches WHERE status NOT IN ({_ENDED}) ORDER BY seq"  # noqa: S608 - constants
            ).fetchall()
        return [_batch(row[0]) for row in found]

    def apply(self, batch_id: str, event: BatchEvent, *, account: str | None = None) -> BatchRecord:
        """Let `event` happen to a batch; the batch afterwards.

        Raises NoSuchRecord, or IllegalTransition; then nothing has changed.
        """
        with self._database.transaction() as rows:
            record = _found_batch(rows, batch_id, account)
            changed = after(record, event, self._now())
            if changed != record:
                rows.execute(
                    "UPDATE batches SET status = ?, version = ?, record = ? WHERE id = ?",
                    (changed.status, _next_version(rows), _encode(changed), batch_id),
                )
        return changed

    def changed_since(self, version: int, *, limit: int = 1000) -> list[Change]:
        """Batches whose last change has a version above this one, in the order of versions."""
        with self._database.reading() as rows:
            found = rows.execute(
                "SELECT version, record FROM batches WHERE version > ? ORDER BY version LIMIT ?",
                (version, limit),
            ).fetchall()
        return [Change(row[0], _listed(row[1])) for row in found]

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
    found = rows.execute("SELECT record FROM batches WHERE id = ?", (batch_id,)).fetchone()
    record = None if found is None else _batch(found[0])
    if record is None or account not in {None, record.account}:
        raise NoSuchRecord("batch", batch_id)
    return record


def _next_version(rows: sqlite3.Connection) -> int:
    (highest,) = rows.execute("SELECT coalesce(max(version), 0) FROM batches").fetchone()
    return int(highest) + 1


def _listed(row: bytes) -> BatchRecord:
    record = _batch(row)
    return msgspec.structs.replace(record, errors=record.errors[:LISTED_ERRORS])


_ASKED = ("input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after_s")


def _same_request(before: BatchRecord, again: BatchRecord) -> BatchRecord:
    if any(getattr(before, name) != getattr(again, name) for name in _ASKED):
        raise KeyReused(str(again.idempotency_key), before.id)
    return before


def _page(
    rows: sqlite3.Connection,
    kind: str,
    account: str | None,
    after_id: str | None,
    limit: int,
    order: Order,
    where: str,
    given: tuple[object, ...],
) -> list[bytes]:
    """The rows of a page, and one more if there is."""
    table = {"file": "files", "batch": "batches"}[kind]
    beyond, direction = ("<", "DESC") if order == "desc" else (">", "ASC")
    begin = None
    if after_id is not None:
        mine = (after_id, account, account)
        begin = rows.execute(
            f"SELECT seq FROM {table} WHERE id = ? AND (? IS NULL OR account = ?)",  # noqa: S608 - constants
            mine,
        ).fetchone()
        if begin is None:
            raise NoSuchRecord(kind, after_id)
        begin = begin[0]
    found = rows.execute(
        f"SELECT record FROM {table} WHERE (? IS NULL OR account = ?) AND"  # noqa: S608 - constants
        f" (? IS NULL OR seq {beyond} ?) AND {where} ORDER BY seq {direction} LIMIT ?",
        (account, account, begin, begin, *given, limit + 1),
    ).fetchall()
    return [row[0] for row in found]

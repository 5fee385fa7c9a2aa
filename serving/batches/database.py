"""The SQLite file behind the catalog: its schema, its connection, its transactions.

What the rows mean is `serving.batches.catalog`.
"""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.batches.errors import CatalogOutdated

SCHEMA_VERSION = 2
BUSY_S = 30.0
"""How long another process may keep the file to itself."""
_SCHEMA = """
CREATE TABLE files (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    purpose TEXT NOT NULL,
    expires_at INTEGER,
    record BLOB NOT NULL
);
CREATE TABLE batches (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    idempotency_key TEXT,
    input_file_id TEXT NOT NULL,
    status TEXT NOT NULL,
    record BLOB NOT NULL,
    errors BLOB,
    UNIQUE (account, idempotency_key)
);
CREATE INDEX batches_by_status ON batches (status);
CREATE INDEX batches_by_input ON batches (input_file_id);
CREATE INDEX files_by_end ON files (expires_at);
"""
_FROM_VERSION_1 = "DROP INDEX batches_by_version; ALTER TABLE batches DROP COLUMN version;"
_STEPS = {0: _SCHEMA, 1: _FROM_VERSION_1}
"""What makes the schema of each version that is known into this one."""


class Database:
    """One file, for all threads of this process. A forked process gets a connection of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._opened: tuple[int, sqlite3.Connection] | None = None
        self._left_behind: list[sqlite3.Connection] = []

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and alone: for what reads and then writes."""
        with self._lock:
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # SQLite ends it itself after some errors
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """For a single query."""
        with self._lock:
            yield self._connection()

    def close(self) -> None:
        """Close this process's connection; the next use opens another."""
        with self._lock:
            if self._opened is not None and self._opened[0] == os.getpid():
                self._opened[1].close()
            self._opened = None

    def _connection(self) -> sqlite3.Connection:
        if self._opened is not None and self._opened[0] == os.getpid():
            return self._opened[1]
        if self._opened is not None:
            # A parent's: closing it here would drop locks of the file; it is never used again.
            self._left_behind.append(self._opened[1])
        connection = sqlite3.connect(
            self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        # Changing the journal's mode does not wait for others, so one process does it at a time.
        with self.path.with_suffix(".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            connection.execute("PRAGMA journal_mode = WAL")
            self._make_schema(connection)
        connection.execute("PRAGMA synchronous = FULL")
        self._opened = (os.getpid(), connection)
        return connection

    def _make_schema(self, connection: sqlite3.Connection) -> None:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found == SCHEMA_VERSION:
            return
        if found not in _STEPS:
            connection.close()
            raise CatalogOutdated(str(self.path), found, SCHEMA_VERSION)
        connection.executescript(
            f"BEGIN IMMEDIATE; {_STEPS[found]} PRAGMA user_version={SCHEMA_VERSION}; COMMIT"
        )

"""Locks between processes on files of their own. The kernel lets go of a dead process's locks.

A lock file is never removed: a process could hold a lock on a file that has no name any more.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self


@contextmanager
def exclusive(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock alone; `waiting` is called once if another process has it."""
    with _opened(path) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield  # closing the file lets the lock go


@contextmanager
def try_exclusive(path: Path) -> Iterator[bool]:
    """Hold the lock alone if nobody has it now; whether that is so."""
    with _opened(path) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


class Lease:
    """Keeps a checkpoint where it is until released, or until this process ends.

    Any number of processes may hold leases of one checkpoint.
    """

    def __init__(self, path: Path, lock_file: Path | None) -> None:
        """Wait out a removal that is going on. Without a lock file there is nothing to hold."""
        self.path = path
        """The checkpoint's folder."""
        self._lock: IO[bytes] | None = None
        if lock_file is not None:
            self._lock = _opened(lock_file)
            fcntl.flock(self._lock, fcntl.LOCK_SH)
            self._mark_used()

    def release(self) -> None:
        """Let go; again is no error."""
        if self._lock is not None:
            self._mark_used()
            self._lock.close()
            self._lock = None

    def _mark_used(self) -> None:
        assert self._lock is not None
        os.utime(self._lock.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def _opened(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")

"""Checkpoint folders that appear whole or not at all.

A folder is made beside its place under a name of its own, forced to disk, and renamed. A lock
file keeps two processes from making the same folder; what a killed one left is removed by the
next. Nothing here knows what is in the folder.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.errors import WeightsError

_PARTIAL = ".partial-"


def is_published(path: Path) -> bool:
    """Whether the checkpoint is there. Then it is whole: it came by one rename.

    A link to a file that has been removed since counts as not there.
    """
    return (path / "config.json").is_file()


def publish(path: Path, make: Callable[[Path], None], progress: Callable[[str], None]) -> Path:
    """Make the folder `path` with `make`, unless it is there by the time the lock is held.

    `make` fills the empty folder that it is given. Raises what it raises, and WeightsError if
    the disk refuses; `path` does not exist then.
    """
    try:
        with _locked(path, progress):
            _remove_partials(path)
            if not is_published(path):
                _make_and_rename(path, make)
    except OSError as error:
        raise WeightsError(
            f"could not write the checkpoint: {error}",
            where=str(path),
            fix="Check free space and permissions of the state folder.",
        ) from error
    return path


@contextmanager
def _locked(path: Path, progress: Callable[[str], None]) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting for another process that prepares {path.name}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield  # closing the file lets the lock go; so does the death of the process


def _remove_partials(path: Path) -> None:
    for leftover in path.parent.glob(f".{path.name}{_PARTIAL}*"):
        shutil.rmtree(leftover)


def _make_and_rename(path: Path, make: Callable[[Path], None]) -> None:
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}{_PARTIAL}", dir=path.parent))
    try:
        make(partial)
        for entry in [*partial.rglob("*"), partial]:
            _force_to_disk(entry)
        partial.chmod(0o755)
        if path.exists():  # not published, as the caller saw: its links lead nowhere
            shutil.rmtree(path)
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _force_to_disk(path.parent)


def _force_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Who works on a batch: a lock on a file in its work folder, which dies with the process.

So two runs never do the same batch, and a run whose process died without a word is known to be dead
although Dagster still calls it started.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from orchestration.errors import PartitionBusy

NAME = "claim"
PATIENCE_S = 2.0
"""A look at the lock holds it for an instant; and a run that ends holds it until it has ended."""
LOOK_EVERY_S = 0.05


@contextmanager
def claimed(folder: Path, run_id: str, *, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the batch of this work folder. Raises PartitionBusy."""
    path = folder / NAME
    deadline = time.monotonic() + patience_s
    with path.open("a+") as file:
        while not _taken(file):
            if time.monotonic() >= deadline:
                raise PartitionBusy(
                    f"run {path.read_text() or '(not named)'} works on this batch",
                    where=str(path),
                    fix="Wait for it, or terminate it.",
                )
            time.sleep(LOOK_EVERY_S)
        file.truncate(0)
        file.write(run_id)
        file.flush()
        yield


def is_claimed(folder: Path) -> bool:
    """Whether a living process works on the batch."""
    try:
        with (folder / NAME).open("a+") as file:
            return not _taken(file)
    except FileNotFoundError:
        return False


def _taken(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

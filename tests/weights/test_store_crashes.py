"""A process killed at any of its steps on the disk, one run for every step."""

import multiprocessing
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from serving.weights.store import CheckpointStore

_FORK = multiprocessing.get_context("fork")
_STEPS = {"open", "os.mkdir", "os.rename", "os.symlink", "os.remove", "os.rmdir", "os.utime"}
_BUDGET_BYTES = 100
_FILES = {
    "old": {"w": b"o" * 40, "t": b"t" * 10},
    "held": {"w": b"h" * 40, "t": b"t" * 10},
    "new": {"w": b"n" * 40, "t": b"t" * 10},
}
"""Two of them fit."""


def _ensure(root: Path, key: str) -> None:
    def make(folder: Path) -> None:
        for name, content in _FILES[key].items():
            (folder / name).write_bytes(content)

    store = CheckpointStore(root)
    with store.lease(key) as lease:
        store.ensure(key, make, lambda _sentence: None, _BUDGET_BYTES)
        assert {name: (lease.path / name).read_bytes() for name in _FILES[key]} == _FILES[key]


def _ensure_until(root: Path, key: str, last_step: int) -> None:
    steps = 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal steps
        if event in _STEPS and str(root) in str(arguments):
            steps += 1
            if steps == last_step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    _ensure(root, key)


def _killed_at(root: Path, key: str, step: int) -> bool:
    """Whether there was such a step."""
    worker = _FORK.Process(target=_ensure_until, args=(root, key, step))
    worker.start()
    worker.join(120)
    assert worker.exitcode in (0, -signal.SIGKILL)
    return worker.exitcode != 0


def _damage(root: Path) -> None:
    blob = (root / "old" / "w").resolve()
    before = blob.stat()
    blob.write_bytes(b"x" * 40)
    os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))


@pytest.mark.parametrize(
    ("key", "damaged"),
    [("new", False), ("old", True)],
    ids=["a checkpoint that pushes another out", "a damaged checkpoint that is made again"],
)
def test_whichever_step_a_process_is_killed_at_the_store_is_whole(
    tmp_path: Path, key: str, damaged: bool
) -> None:
    origin = tmp_path / "origin"
    origin.mkdir()
    _ensure(origin, "held")
    _ensure(origin, "old")
    step = 1
    while True:
        root = tmp_path / f"killed-at-{step}"
        shutil.copytree(origin, root, symlinks=True)
        if damaged:
            _damage(root)
        with CheckpointStore(root).lease("held"):
            if not _killed_at(root, key, step):
                break
            assert {name: (root / "held" / name).read_bytes() for name in ("w", "t")} == _FILES[
                "held"
            ]
            _ensure(root, key)
        _ensure(root, "old" if key == "new" else "new")
        assert not any((root / ".store" / "partial").iterdir())
        assert not any((root / ".store" / "removed").iterdir())
        blobs = [blob.stat().st_size for blob in (root / ".store" / "blobs").iterdir()]
        assert sum(blobs) <= _BUDGET_BYTES, f"killed at step {step}"
        step += 1
    assert step > 20, "the steps were not seen"

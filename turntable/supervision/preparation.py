"""What must be there before any process starts: every model's weights, Dagster's storage.

Done on the first start; later starts only look.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from serving.config import Fleet, StateFolder
from serving.errors import TurntableError
from serving.weights import checkpoint_path, prepare

Progress = Callable[[str], None]

_STORAGE_FILES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")


class StorageFailed(TurntableError):
    """Dagster's storage could not be made."""


def prepare_instance(
    fleet: Fleet, state: StateFolder, environment: Mapping[str, str], progress: Progress
) -> None:
    """Prepare weights and storage, side by side. Raises WeightsError, StorageFailed."""
    with _dagster_storage(state, environment, progress):
        _prepare_weights(fleet, state, progress)


def _prepare_weights(fleet: Fleet, state: StateFolder, progress: Progress) -> None:
    done: set[Path] = set()
    for model in fleet.models:
        path = checkpoint_path(model, state)
        if path not in done:
            prepare(model, state, progress, budget_gib=fleet.weights.budget_gib)
        done.add(path)


@contextmanager
def _dagster_storage(
    state: StateFolder, environment: Mapping[str, str], progress: Progress
) -> Iterator[None]:
    """Make Dagster's databases in one process, which has ended when this is left.

    Its code server, pages and daemon would each make them, and two at once fail.
    """
    if all((state.dagster / name).exists() for name in _STORAGE_FILES):
        yield
        return
    progress("making Dagster's storage (once)")
    maker = subprocess.Popen(
        [sys.executable, "-m", "dagster", "instance", "info"],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield
        _, errors = maker.communicate()
    finally:
        if maker.poll() is None:
            maker.kill()
            maker.wait()
    if maker.returncode != 0:
        raise StorageFailed(
            f"Dagster ended with status {maker.returncode}: {errors.strip()[-2000:]}",
            where=str(state.dagster),
            fix="See whether the folder can be written; remove it to start over.",
        )

"""A folder for one run: a state folder that shares prepared weights, logs, the fleet file."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.setting import Setting
from serving.config import Fleet, StateFolder, load_fleet
from serving.weights import prepare


@dataclass(frozen=True)
class Workspace:
    """Where one run keeps its files; gone afterwards."""

    root: Path
    prepared: StateFolder
    """The user's state folder: only its weights are used."""
    original_fleet: Fleet
    say: Callable[[str], None]

    @classmethod
    @contextmanager
    def temporary(cls, setting: Setting) -> Iterator["Workspace"]:
        """A workspace for as long as this is open."""
        fleet = load_fleet(setting.fleet_file)
        with tempfile.TemporaryDirectory(prefix="turntable-bench-") as folder:
            yield cls(Path(folder), setting.state, fleet, setting.say)

    def prepare_weights(self, fleet: Fleet) -> None:
        """Make sure that no arm has to: a start is measured on a prepared clone."""
        for model in fleet.models:
            prepare(model, self.prepared, self.say)

    def state(self, name: str) -> StateFolder:
        """A new state folder over the prepared weights."""
        root = self.root / name
        root.mkdir()
        (root / "weights").symlink_to(self.prepared.weights, target_is_directory=True)
        return StateFolder(root)

    def environment(self, **changes: str) -> dict[str, str]:
        """The environment of this process, with `changes`."""
        return {**os.environ, **changes}

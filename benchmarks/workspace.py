"""A folder for one run: state folders that share prepared weights, logs, fleet files."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.setting import BenchmarkUnable, Setting
from serving.config import Fleet, StateFolder, load_fleet
from serving.weights import prepare


@dataclass(frozen=True)
class Workspace:
    """Where one run keeps its files."""

    root: Path
    prepared: StateFolder
    """The user's state folder: only its weights are used."""
    original_fleet: Fleet
    say: Callable[[str], None]

    @classmethod
    @contextmanager
    def temporary(cls, setting: Setting) -> Iterator["Workspace"]:
        """A workspace for as long as this is open; kept, and named, if the run could not go on."""
        fleet = load_fleet(setting.fleet_file)
        root = Path(tempfile.mkdtemp(prefix="turntable-bench-"))
        kept = False
        try:
            yield cls(root, setting.state, fleet, setting.say)
        except BenchmarkUnable:
            kept = True
            setting.say(f"logs are kept in {root}")
            raise
        finally:
            if not kept:
                shutil.rmtree(root, ignore_errors=True)

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


def write_fleet(fleet: Fleet, path: Path) -> None:
    """Write a fleet file."""
    path.write_text(yaml.safe_dump(fleet.model_dump(mode="json", exclude_none=True)))

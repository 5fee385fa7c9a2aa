"""Where this installation's fleet file and state folder are: the resource all definitions share.

The supervisor names both in the environment; they are read when definitions are built, and again
in every run, so that a run sees the fleet file of its own time.
"""

import os
from functools import cached_property
from pathlib import Path

import dagster as dg

from serving.config import Fleet, StateFolder, load_fleet

FLEET_VARIABLE = "TURNTABLE_FLEET"
DEFAULT_FLEET = "config/fleet.yaml"


def fleet_path() -> Path:
    """`$TURNTABLE_FLEET`, else the default fleet file."""
    return Path(os.environ.get(FLEET_VARIABLE, DEFAULT_FLEET)).resolve()


class Installation(dg.ConfigurableResource[None]):
    """The fleet that runs, and its state folder."""

    fleet_file: str
    state_folder: str

    @cached_property
    def fleet(self) -> Fleet:
        """The fleet file, validated."""
        return load_fleet(Path(self.fleet_file))

    @cached_property
    def state(self) -> StateFolder:
        """Where everything is kept."""
        return StateFolder(Path(self.state_folder))

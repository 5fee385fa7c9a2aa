"""What every command is told: which fleet, which state folder. And how commands speak JSON."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import typer
from rich.console import Console

from serving.config import Fleet, StateFolder, load_fleet
from serving.config.fleet import HostSettings
from turntable.supervision.programs import repository

FAILED = 1
USAGE = 2
NOT_RUNNING = 3


@dataclass(frozen=True)
class Settings:
    """The global options."""

    fleet_file: Path
    state: StateFolder

    def fleet(self) -> Fleet:
        """The fleet file's content. Raises ConfigError."""
        return load_fleet(self.fleet_file)

    def host_credentials(self, host: HostSettings) -> tuple[str, int, str]:
        """Address, port and token: what a client of an engine host takes."""
        return host.address, host.port, self.state.token("admin")


def default_fleet_file() -> Path:
    """`config/fleet.yaml` of the working folder, else the one that comes with Turntable."""
    here = Path("config/fleet.yaml")
    return here if here.exists() else repository() / here


def settings(context: typer.Context) -> Settings:
    """The global options of this call."""
    found = context.find_object(Settings)
    assert found is not None, "the app's callback makes it"
    return found


def print_json(value: Any) -> None:
    """Write a value as JSON on standard output."""
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(value)) + b"\n")
    sys.stdout.flush()


_PLAIN_WIDTH = 160
"""Columns where the output is no terminal: tables stay readable in a log."""


def console(*, stderr: bool = False, at_most: int | None = None) -> Console:
    """Where commands write for people; `at_most` so many columns wide."""
    plain = not (sys.stderr if stderr else sys.stdout).isatty()
    shown = Console(highlight=False, stderr=stderr, width=_PLAIN_WIDTH if plain else None)
    shown.width = min(shown.width, at_most or shown.width)
    return shown

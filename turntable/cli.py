"""The `turntable` command: global options, the list of commands, and how errors are shown.

Commands live in `turntable.commands`, one module each; they import what they need when they run,
so that `--help` is quick.
"""

import errno
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from serving.config import StateFolder
from serving.config.state import STATE_VARIABLE
from serving.errors import ConfigError, TurntableError
from turntable.commands.bench import bench
from turntable.commands.cancel import cancel
from turntable.commands.datasets import datasets
from turntable.commands.demo import demo
from turntable.commands.models import models
from turntable.commands.plan import plan_commands
from turntable.commands.simulate import simulate
from turntable.commands.status import status
from turntable.commands.stop import stop
from turntable.commands.swap import swap
from turntable.commands.tiers import tiers
from turntable.commands.up import up
from turntable.settings import FAILED, NOT_RUNNING, USAGE, Settings, default_fleet_file
from turntable.supervision.instance import NotRunning

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)

app = typer.Typer(
    name="turntable",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Serve many language models from a fixed pool of engines.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or fleet file, 3 not running.",
)
_COMMANDS = (up, status, models, tiers, swap, cancel, datasets, simulate, demo, bench, stop)
for command in _COMMANDS:
    app.command()(command)
app.add_typer(plan_commands, name="plan")


def _show_version(asked: bool) -> None:
    if asked:
        print(f"turntable {version('turntable')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    fleet: Annotated[
        Path | None,
        typer.Option(
            help="The fleet file; config/fleet.yaml unless given.", envvar="TURNTABLE_FLEET"
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="The state folder; .turntable unless given.", envvar=STATE_VARIABLE),
    ] = None,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Take the options that all commands share."""
    context.obj = Settings(
        fleet_file=(fleet or default_fleet_file()).resolve(),
        state=StateFolder((state or Path(".turntable")).resolve()),
    )


def main() -> None:
    """Run the command line; an error of ours is shown as what, where and fix."""
    from analytics.errors import StoreError

    try:
        app()
    except (TurntableError, StoreError) as error:
        _show(error.what, error.where, error.fix)
        sys.exit(_exit_code(error))
    except OSError as error:
        if error.filename is None and error.errno not in _FULL:
            raise  # not of a file: a fault of ours
        where = str(error.filename or "a disk")
        _show(os.strerror(error.errno or 0), where, _fix(error))
        sys.exit(FAILED)


def _fix(error: OSError) -> str:
    if error.errno in _FULL:
        return "Make room there."
    if error.errno in _FORBIDDEN:
        return (
            "Allow it to be written, or name another place; the state folder's is --state FOLDER."
        )
    return "See whether it is the right path."


def _exit_code(error: Exception) -> int:
    if isinstance(error, ConfigError):
        return USAGE
    return NOT_RUNNING if isinstance(error, NotRunning) else FAILED


def _show(what: str, where: str, fix: str) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold red]error[/]  {escape(what)}")
    console.print(f"  [dim]where[/]  {escape(where)}")
    console.print(f"    [dim]fix[/]  {escape(fix)}")

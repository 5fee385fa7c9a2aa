"""What `turntable up` shows: progress while programs start, then where everything is.

On a terminal a live table; elsewhere one line for each change, so that logs stay readable.
"""

import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from serving.config import StateFolder
from turntable.settings import default_fleet_file
from turntable.supervision.instance import Instance


@dataclass
class ProgramProgress:
    """One program on its way to being ready."""

    name: str
    ready_after_s: float | None = None
    note: str = "starting"
    starts: int = 0


class Display:
    """Writes to one console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._live: Live | None = None
        self._said: dict[str, str] = {}

    def sentence(self, text: str) -> None:
        """A step of the work, in words."""
        self._console.print(f"[dim]{self._elapsed_s():5.1f} s[/]  {text}", highlight=False)

    @contextmanager
    def table(self) -> Iterator[None]:
        """While this is open, `show` keeps a table of programs up to date."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, refresh_per_second=4, transient=True) as self._live:
            yield
        self._live = None

    def show(self, programs: list[ProgramProgress]) -> None:
        """The programs as they are now."""
        if self._live is not None:
            self._live.update(self._as_table(programs))
        for program in programs:
            ready = program.ready_after_s is not None
            text = "is ready" if ready else program.note
            if self._said.get(program.name) != text:
                self._said[program.name] = text
                if ready or self._live is None:
                    self.sentence(f"{program.name} {'is ready' if ready else '- ' + text}")

    def _as_table(self, programs: list[ProgramProgress]) -> Table:
        table = Table(box=None, title=f"starting, {self._elapsed_s():.0f} s", title_justify="left")
        for column in ("program", "state", "", "waiting for"):
            table.add_column(column)
        for program in programs:
            if program.ready_after_s is not None:
                table.add_row(program.name, "[green]ready[/]", f"{program.ready_after_s:.0f} s", "")
            else:
                again = f"start {program.starts}" if program.starts > 1 else ""
                table.add_row(program.name, "[yellow]starting[/]", again, program.note)
        return table

    def ready(self, instance: Instance) -> None:
        """Everything is ready: say where it is and how to go on."""
        self._console.print(f"\n[bold green]Ready[/] after {self._elapsed_s():.0f} s.\n")
        self.where(instance)

    def already_running(self, instance: Instance) -> None:
        """Another `turntable up` owns the state folder: say so, and where it is."""
        word = "runs" if instance.phase == "ready" else "is starting"
        self._console.print(f"[bold]Turntable {word} already[/], process {instance.pid}.\n")
        self.where(instance)

    def where(self, instance: Instance) -> None:
        """Where a running instance is, with a first request that works when pasted."""
        body = (
            f'{{"model": "{instance.default_model}", "messages": '
            '[{"role": "user", "content": "What is the capital of France?"}]}'
        )
        lines = [
            f"  chat      {instance.gateway}/v1  (OpenAI and Anthropic APIs)",
            f"  Dagster   {instance.dagster}",
            f"  status    {command(instance)} status",
            f"  logs      {instance.logs}",
            f"  stop      Ctrl-C, or: {command(instance)} stop",
            "",
            f"  curl {instance.gateway}/v1/chat/completions \\",
            *_key_option(instance),
            f"    -H 'Content-Type: application/json' -d '{body}'",
            "",
        ]
        for line in lines:
            self._console.out(line, highlight=False)

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began


def _key_option(instance: Instance) -> list[str]:
    """What a first request needs where the gateway asks for a key."""
    if instance.key_file is None:
        return []
    return [f'    -H "Authorization: Bearer $(cat {shlex.quote(instance.key_file)})" \\']


def command(instance: Instance) -> str:
    """How to call the command line for this instance from the working folder, in few words."""
    program = Path(sys.argv[0]).absolute()
    if shutil.which("turntable") == str(program):
        words = ["turntable"]
    elif program.is_relative_to(Path.cwd()):
        words = [str(program.relative_to(Path.cwd()))]
    else:
        words = [str(program)]
    if default_fleet_file().resolve() != Path(instance.fleet_file):
        words += ["--fleet", instance.fleet_file]
    if StateFolder.default() != StateFolder(Path(instance.state)):
        words += ["--state", instance.state]
    return shlex.join(words)

"""supervisord's configuration, and talking to a running supervisord.

supervisord stops group after group, but the processes of one group side by side. So Dagster's
daemon is in a group of its own, which is stopped first: it would take the end of the code server
for a failure of whatever it is doing. All others are in one.
"""

import hashlib
import http.client
import os
import shlex
import tempfile
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from serving.config import StateFolder
from serving.errors import TurntableError
from turntable.supervision.programs import Program

_STOPPED_LAST, _STOPPED_FIRST = 1, 2
"""Priorities of groups: supervisord stops the higher one first."""
_LONGEST_SOCKET_PATH = 90
"""The kernel takes 107 bytes; supervisord binds under a name that is longer by its process id."""
STOP_WAIT_S = 15
"""How long a program may take to stop before its process group is killed."""
_LOG_BYTES = 20 * 1024 * 1024


class SupervisorUnreachable(TurntableError):
    """supervisord does not answer on its socket."""


@dataclass(frozen=True)
class ProcessInfo:
    """What supervisord knows of one program."""

    name: str
    state: str
    """supervisord's own word: STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL, ..."""
    pid: int
    started_at: float
    """Of its last start, in whole seconds; 0 before the first. Stays when it has ended."""
    description: str


def socket_path(state: StateFolder) -> Path:
    """Where supervisord listens: in the state folder, or a short private place if it is deep."""
    path = state.run / "supervisor.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(state.root)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"turntable-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise TurntableError(
            "the folder belongs to another user", where=str(folder), fix="Remove it."
        )
    return folder / "supervisor.sock"


def render(programs: list[Program], state: StateFolder, folder: Path) -> str:
    """Supervisord's configuration file for these programs, which run in `folder`."""
    socket = _escaped(socket_path(state))
    daemons = [program.name for program in programs if program.kind == "daemon"]
    others = [program.name for program in programs if program.kind != "daemon"]
    server = f"""\
[unix_http_server]
file = {socket}
chmod = 0700

[supervisord]
nodaemon = true
silent = true
logfile = {_escaped(state.logs / "supervisord.log")}
logfile_maxbytes = {_LOG_BYTES}
pidfile = {_escaped(state.run / "supervisord.pid")}
childlogdir = {_escaped(state.logs)}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface"""
    groups = [
        *_group_section("turntable", others, _STOPPED_LAST),
        *_group_section("daemon", daemons, _STOPPED_FIRST),
    ]
    sections = [_program_section(program, state, folder) for program in programs]
    return "\n\n".join([server, *groups, *sections]) + "\n"


def _group_section(name: str, programs: list[str], priority: int) -> list[str]:
    if not programs:
        return []
    return [f"[group:{name}]\nprograms = {','.join(programs)}\npriority = {priority}"]


def _program_section(program: Program, state: StateFolder, folder: Path) -> str:
    settings: dict[str, object] = {
        "command": shlex.join(program.command).replace("%", "%%"),
        "directory": _escaped(folder),
        "autorestart": "true",
        # A process that lives this long has started. One that does not is tried again after one
        # second, two, three, ...; a running instance never gives a program up.
        "startsecs": 5,
        "startretries": 1_000_000,
        "stopsignal": "TERM",
        "stopwaitsecs": STOP_WAIT_S,
        "stopasgroup": "true",
        "killasgroup": "true",
        "redirect_stderr": "true",
        # supervisord expands this one value twice
        "stdout_logfile": _escaped(Path(_escaped(log_file(program.name, state)))),
        "stdout_logfile_maxbytes": _LOG_BYTES,
        "stdout_logfile_backups": 3,
    }
    lines = [f"{key} = {value}" for key, value in settings.items()]
    return "\n".join([f"[program:{program.name}]", *lines])


def log_file(name: str, state: StateFolder) -> Path:
    """Where a program's output goes."""
    return state.logs / f"{name}.log"


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")


class SupervisorClient:
    """A running supervisord, over its socket. Raises SupervisorUnreachable."""

    def __init__(self, state: StateFolder) -> None:
        from supervisor.xmlrpc import SupervisorTransport

        self._socket = socket_path(state)
        self._transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        self._proxy = xmlrpc.client.ServerProxy("http://localhost", self._transport)

    def processes(self) -> list[ProcessInfo]:
        """Every program, as it is now."""
        rows = cast("list[dict[str, Any]]", self._call("getAllProcessInfo"))
        return [
            ProcessInfo(
                name=row["name"],
                state=row["statename"],
                pid=row["pid"],
                started_at=row["start"],
                description=row["description"],
            )
            for row in rows
        ]

    def shut_down(self) -> None:
        """Stop every program, then supervisord. Answers before that is done."""
        self._call("shutdown")

    def _call(self, method: str) -> object:
        try:
            return getattr(self._proxy.supervisor, method)()
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            self._transport.close()  # it would keep the broken connection
            raise SupervisorUnreachable(
                f"supervisord does not answer: {error}",
                where=str(self._socket),
                fix="Is it running? Start it with: turntable up",
            ) from error

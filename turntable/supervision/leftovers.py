"""Finding and ending the processes of an instance, whatever became of their parents."""

import os
from collections.abc import Iterator

import psutil

from serving.config import StateFolder
from turntable.supervision.programs import INSTANCE_VARIABLE

_TERM_WAIT_S = 5.0
_KILL_WAIT_S = 10.0


def members(state: StateFolder) -> list[psutil.Process]:
    """The live processes of the instance over this state folder, this process not among them."""
    return list(_members(str(state.root)))


def _members(instance: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            if process.environ().get(INSTANCE_VARIABLE) != instance:
                continue
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
        except psutil.Error:
            continue  # it ended while it was looked at, or it is another user's
        yield process


def end(processes: list[psutil.Process], *, term_wait_s: float = _TERM_WAIT_S) -> int:
    """Ask the processes to end, kill those that have not in time; how many had to be killed."""
    _signal(processes, psutil.Process.terminate)
    _, alive = psutil.wait_procs(processes, timeout=term_wait_s)
    _signal(alive, psutil.Process.kill)
    psutil.wait_procs(alive, timeout=_KILL_WAIT_S)
    return len(alive)


def end_members(state: StateFolder, *, term_wait_s: float = _TERM_WAIT_S) -> int:
    """End every process of the instance, also those that others start meanwhile."""
    ended = 0
    while found := members(state):
        end(found, term_wait_s=term_wait_s)
        ended += len(found)
        term_wait_s = 0.0
    return ended


def _signal(processes: list[psutil.Process], send: object) -> None:
    assert callable(send)
    for process in processes:
        try:
            send(process)
        except psutil.NoSuchProcess:
            continue


def listener(address: str, port: int) -> str | None:
    """Who listens on a port, in words, if that can be seen."""
    for connection in psutil.net_connections("inet"):
        if connection.status != psutil.CONN_LISTEN or connection.laddr.port != port:
            continue
        if connection.laddr.ip not in {address, "0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
            continue
        if connection.pid is None:
            return "a process of another user"
        try:
            process = psutil.Process(connection.pid)
            command = " ".join(process.cmdline())[:120]
            instance = process.environ().get(INSTANCE_VARIABLE)
        except psutil.Error:
            return f"process {connection.pid}"
        owner = f" of the Turntable over {instance}" if instance else ""
        return f"process {connection.pid}{owner}: {command}"
    return None

"""The record of an instance: whether one runs over this state folder, and where it is.

`turntable up` holds a file lock as long as it lives, so there is one owner at most. Everybody
else reads the record it writes, and believes it while that very process lives.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec
import psutil

from serving.config import OPERATOR_ACCOUNT, Fleet, StateFolder
from serving.errors import TurntableError


class AlreadyRunning(TurntableError):
    """An instance runs over this state folder."""


class NotRunning(TurntableError):
    """No instance runs over this state folder."""


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """A running instance."""

    pid: int
    """Of the `turntable up` that owns it."""
    pid_created_at: float
    """Tells that process from a later one with its number."""
    phase: Literal["starting", "ready"]
    fleet_file: str
    state: str
    logs: str
    gateway: str
    """Base URL of the chat endpoint."""
    dagster: str
    """Base URL of Dagster's pages."""
    default_model: str
    started_at: float
    key_file: str | None = None
    """Where the operator's API key is; None where the gateway takes requests without one."""


def describe(fleet: Fleet, fleet_file: Path, state: StateFolder, started_at: float) -> Instance:
    """The record of an instance that starts now, owned by this process."""
    return Instance(
        pid=os.getpid(),
        pid_created_at=psutil.Process().create_time(),
        phase="starting",
        fleet_file=str(fleet_file),
        state=str(state.root),
        logs=str(state.logs),
        gateway=f"http://{fleet.gateway.address}:{fleet.gateway.port}",
        dagster=f"http://{fleet.dagster.address}:{fleet.dagster.port}",
        default_model=fleet.hosts[0].starts_with or fleet.models[0].name,
        started_at=started_at,
        key_file=str(state.token_file(OPERATOR_ACCOUNT)) if fleet.keys else None,
    )


def write_record(instance: Instance, state: StateFolder) -> None:
    """Replace the record, whole."""
    path = _record(state)
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(instance)))
    partial.rename(path)


def read_record(state: StateFolder) -> Instance | None:
    """The last record written, of an instance that may be gone."""
    if not state.root.is_dir():
        return None  # a look must not make the folder
    try:
        return msgspec.json.decode(_record(state).read_bytes(), type=Instance)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


@contextmanager
def ownership(state: StateFolder) -> Iterator[None]:
    """Own the instance over this state folder. Raises AlreadyRunning if another process does."""
    with (state.run / "instance.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            running = read_record(state)
            raise AlreadyRunning(
                "Turntable is running already" + (f" at {running.gateway}" if running else ""),
                where=str(state.root),
                fix="Stop it with: turntable stop",
            ) from error
        yield


def running_instance(state: StateFolder) -> Instance:
    """The instance that runs now. Raises NotRunning."""
    record = read_record(state)
    if record is None or _owner(record) is None:
        raise NotRunning(
            "no Turntable runs over this state folder",
            where=str(state.root),
            fix="Start it with: turntable up. If it runs over another folder: --state FOLDER",
        )
    return record


def stop(instance: Instance, *, timeout_s: float) -> bool:
    """Ask the owner to stop everything and wait for its end; whether it ended in time."""
    owner = _owner(instance)
    if owner is None:
        return True
    try:
        owner.terminate()
        owner.wait(timeout_s)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


def _owner(instance: Instance) -> psutil.Process | None:
    try:
        process = psutil.Process(instance.pid)
        same = abs(process.create_time() - instance.pid_created_at) < 1
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _record(state: StateFolder) -> Path:
    return state.run / "instance.json"

"""Which processes of an instance are the gateway, a host, and the run of a batch."""

from pathlib import Path

import psutil

from benchmarks.instance import Instance
from serving.config import StateFolder
from turntable.supervision.supervisord import SupervisorClient

_GATEWAY = "gateway"
_CODE_SERVER = "dagster-code"


def program_pids(instance: Instance) -> dict[str, int]:
    """Process ids of the programs that run now, by name."""
    processes = SupervisorClient(instance.state).processes()
    return {process.name: process.pid for process in processes if process.state == "RUNNING"}


def gateway_pids(instance: Instance) -> list[int]:
    """The gateway and what it started."""
    pid = program_pids(instance).get(_GATEWAY)
    return [] if pid is None else [pid, *_descendants(pid)]


def run_pids(instance: Instance) -> list[int]:
    """The processes of batch runs that go on now."""
    pid = program_pids(instance).get(_CODE_SERVER)
    return [] if pid is None else batch_runs(pid, instance.state)


def batch_runs(code_server: int, state: StateFolder) -> list[int]:
    """Runs are forked below the code server; those of batches have files of a batch open."""
    work = state.root.resolve() / "batch" / "work"
    return [pid for pid in _descendants(code_server) if _has_open(pid, work)]


def _has_open(pid: int, folder: Path) -> bool:
    try:
        return any(
            Path(file.path).is_relative_to(folder) for file in psutil.Process(pid).open_files()
        )
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False  # it ended meanwhile


def _descendants(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []

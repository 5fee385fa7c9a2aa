"""Which processes of an instance are the gateway, a host, and the run of a batch."""

import psutil

from benchmarks.instance import Instance
from turntable.supervision.supervisord import SupervisorClient

_GATEWAY = "gateway"
_CODE_SERVER = "dagster-code"


def program_pids(instance: Instance) -> dict[str, int]:
    """Process ids of the programs that run now, by name."""
    processes = SupervisorClient(instance.state).processes()
    return {process.name: process.pid for process in processes if process.state == "RUNNING"}


def gateway_pids(instance: Instance) -> list[int]:
    """The gateway and what it started."""
    return _tree(program_pids(instance).get(_GATEWAY))


def run_pids(instance: Instance) -> list[int]:
    """The processes of batch runs: those below the code server that have a batch's files open."""
    work = str(instance.state.root / "batch" / "work")
    found = []
    for pid in _tree(program_pids(instance).get(_CODE_SERVER))[1:]:
        try:
            files = psutil.Process(pid).open_files()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it ended meanwhile
        if any(file.path.startswith(work) for file in files):
            found.append(pid)
    return found


def _tree(pid: int | None) -> list[int]:
    """A process and its descendants that are there; none for None."""
    if pid is None:
        return []
    try:
        main = psutil.Process(pid)
        return [pid, *(child.pid for child in main.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []

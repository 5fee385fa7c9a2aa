"""A running instance for the demo: the one that is there, or one for as long as the demo takes."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from serving.errors import TurntableError
from turntable.settings import Settings
from turntable.supervision.instance import Instance, NotRunning, running_instance

_STOP_S = 120.0
_LOOK_AGAIN_S = 0.25


class InstanceEnded(TurntableError):
    """The instance that the demo started did not get ready."""


@contextmanager
def running(chosen: Settings, console: Console) -> Iterator[None]:
    """A ready instance while this is open; one started here is stopped at the end."""
    try:
        instance = running_instance(chosen.state)
    except NotRunning:
        console.print("no instance runs; starting one")
    else:
        console.print(f"using the running instance at {instance.gateway}")
        _await_ready(chosen, None)
        yield
        return
    command = [sys.executable, "-m", "turntable", "--fleet", str(chosen.fleet_file)]
    with subprocess.Popen(
        [*command, "--state", str(chosen.state.root), "up"], stdout=sys.stderr
    ) as up:
        try:
            _await_ready(chosen, up)
            yield
        finally:
            up.terminate()
            up.wait(_STOP_S)


def _await_ready(chosen: Settings, up: subprocess.Popen[bytes] | None) -> Instance:
    """The instance once it is ready. Raises InstanceEnded or NotRunning if it ends before."""
    pause = threading.Event()
    while True:
        if up is not None and up.poll() is not None:
            raise InstanceEnded(
                f"`turntable up` ended with status {up.returncode}",
                where=str(chosen.state.logs),
                fix="See what it wrote above.",
            )
        try:
            instance = running_instance(chosen.state)
        except NotRunning:
            if up is None:
                raise
        else:
            if instance.phase == "ready":
                return instance
        pause.wait(_LOOK_AGAIN_S)

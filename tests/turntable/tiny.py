"""An instance of tiny programs, run as `turntable up` runs a real one.

`python -m tests.turntable.tiny STATE PROGRAM=BEHAVIOUR...` starts programs of these behaviours:
`steady` stays, `spawner` has a child in a session of its own, `stubborn` ignores SIGTERM,
`broken` ends at once. Prints `ready` when all are, then stays until a signal.
"""

import os
import sys
import time
from pathlib import Path

from rich.console import Console

from serving.config import StateFolder
from serving.errors import TurntableError
from turntable.supervision.display import Display
from turntable.supervision.instance import Instance
from turntable.supervision.lifecycle import Lifecycle, Parts, signals_interrupt
from turntable.supervision.programs import INSTANCE_VARIABLE, Program
from turntable.supervision.readiness import Readiness

BEHAVIOURS = {
    "steady": "import signal; mark(); signal.pause()",
    "spawner": "import subprocess, sys, signal; "
    "subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'], "
    "start_new_session=True); mark(); signal.pause()",
    "stubborn": "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); mark(); "
    "[signal.pause() for _ in iter(int, 1)]",
    "broken": "print('the disk is on fire', flush=True); raise SystemExit(3)",
}


def tiny_parts(state: StateFolder, behaviours: dict[str, str]) -> Parts:
    """Parts of an instance of programs that mark their readiness by a file."""
    marks = state.folder("marks")
    entries = []
    for name, behaviour in behaviours.items():
        mark = f"mark = lambda: open({str(marks / name)!r}, 'w').close(); "
        code = mark + BEHAVIOURS[behaviour]
        entries.append(Program(name, "host", (sys.executable, "-c", code)))
    import psutil

    instance = Instance(
        pid=os.getpid(),
        pid_created_at=psutil.Process().create_time(),
        phase="starting",
        fleet_file="fleet.yaml",
        state=str(state.root),
        logs=str(state.logs),
        gateway="http://127.0.0.1:1",
        dagster="http://127.0.0.1:2",
        default_model="tiny",
        started_at=time.time(),
    )
    return Parts(
        instance=instance,
        programs=entries,
        environment={**os.environ, INSTANCE_VARIABLE: str(state.root)},
        prepare=lambda progress: progress("weights are there"),
        ask=lambda program: Readiness((marks / program.name).exists(), "its mark"),
    )


def main(state: StateFolder, behaviours: dict[str, str]) -> int:
    """Run the instance as the `up` command does."""
    display = Display(Console(highlight=False, width=200))
    lifecycle = Lifecycle(tiny_parts(state, behaviours), state, display)
    try:
        with signals_interrupt(), lifecycle.running() as instance:
            display.ready(instance)
            lifecycle.watch()
    except TurntableError as error:
        print(error, flush=True)
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(
        main(
            StateFolder(Path(sys.argv[1]).resolve()),
            dict(argument.split("=") for argument in sys.argv[2:]),
        )
    )

"""One allocation run at a time: who decides holds a lock for the length of its run.

The sensor asks for no run beside one that is under way. This holds for runs started by hand as
well, and a lock goes with the process that has it, so one that was killed blocks nobody.
"""

import fcntl
import time
from pathlib import Path
from typing import TextIO

import dagster as dg
from pydantic import PrivateAttr

from orchestration.errors import AllocationUnderWay
from orchestration.installation import Installation

LOOK_EVERY_S = 0.05


class AllocationTurn(dg.ConfigurableResource[None]):
    """The turn to decide an allocation; waited for before the run's first step."""

    installation: dg.ResourceDependency[Installation]
    patience_s: float = 300.0
    """How long to wait for another run. It then plans on fresh numbers."""

    _file: TextIO = PrivateAttr()
    _waited_s: float = PrivateAttr(default=0.0)

    @property
    def waited_s(self) -> float:
        """How long another run had the turn."""
        return self._waited_s

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Wait for the turn. Raises AllocationUnderWay."""
        path = self.installation.state.plans / "allocation.lock"
        started = time.monotonic()
        self._file = path.open("a+")
        told = False
        while not _taken(self._file):
            if not told and context.log is not None:
                context.log.info(f"waits for allocation run {path.read_text()} to end")
            told = True
            if time.monotonic() - started >= self.patience_s:
                raise self._refused(path)
            time.sleep(LOOK_EVERY_S)
        self._waited_s = time.monotonic() - started
        self._file.truncate(0)
        self._file.write(context.run.run_id if context.run else "a run by hand")
        self._file.flush()

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Give the turn to the next."""
        self._file.close()

    def _refused(self, path: Path) -> AllocationUnderWay:
        self._file.close()
        return AllocationUnderWay(
            f"allocation run {path.read_text() or '(not named)'} did not end "
            f"in {self.patience_s:.0f} s",
            where=str(path),
            fix="See that run in Dagster's pages; cancel it if it hangs.",
        )


def _taken(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

"""The file in which a host remembers the last plan it obeyed, so that its fence survives it."""

import os
from pathlib import Path

import msgspec
import structlog

from serving.engine.decisions.fencing import ObeyedPlan

log = structlog.get_logger(__name__)


class PlanFile:
    """One small JSON file, replaced atomically."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "obeyed-plan.json"

    def read(self) -> ObeyedPlan:
        """The last plan obeyed; the empty one at first start."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=ObeyedPlan)
        except FileNotFoundError:
            return ObeyedPlan()
        except msgspec.DecodeError as error:
            # Written atomically, so this was somebody else. An open fence serves; none at all
            # would keep the host down.
            log.warning("the remembered plan is unreadable", file=str(self._path), error=str(error))
            return ObeyedPlan()

    def write(self, plan: ObeyedPlan) -> None:
        """Remember `plan`; on disk when this returns."""
        temporary = self._path.with_suffix(".new")
        with temporary.open("wb") as file:
            file.write(msgspec.json.encode(plan))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)

"""The last plan made, kept in the state folder: its id, and since when hosts have their models."""

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from orchestration.allocation.plan import Plan
from serving.config import StateFolder


@dataclass(frozen=True)
class PlanRecord:
    """One file with the last plan; written whole, so that a reader never sees half of one."""

    path: Path

    @classmethod
    def of(cls, state: StateFolder) -> "PlanRecord":
        """The record in a state folder."""
        return cls(state.plans / "last.json")

    def write(self, plan: Plan) -> None:
        """Make `plan` the last one."""
        draft = self.path.with_suffix(f".{os.getpid()}")
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(plan)))
        draft.replace(self.path)

    def read(self) -> Plan | None:
        """The last plan; None before the first, or when another version of Turntable wrote it."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Plan)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

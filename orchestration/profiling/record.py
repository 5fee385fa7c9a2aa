"""Batch-size profiles in the state folder: one file a model and hardware, the latest."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from serving.config import StateFolder
from serving.wire import BatchSizeProfile


@dataclass(frozen=True)
class ProfileRecord:
    """The folder of profiles; files are written whole, so a reader never sees half of one."""

    folder: Path

    @classmethod
    def of(cls, state: StateFolder) -> "ProfileRecord":
        """The record in a state folder."""
        return cls(state.profiles)

    def write(self, profile: BatchSizeProfile) -> Path:
        """Make `profile` the one of its model and hardware; the file it is in."""
        hardware = re.sub(r"[^a-z0-9]+", "-", profile.hardware.lower()).strip("-")
        path = self.folder / f"{profile.model}.{hardware}.json"
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(profile)) + b"\n")
        draft.replace(path)
        return path

    def read(self) -> list[BatchSizeProfile]:
        """Every profile; files of another version of Turntable are passed over."""
        found = (_read(path) for path in sorted(self.folder.glob("*.json")))
        return [profile for profile in found if profile is not None]


def _read(path: Path) -> BatchSizeProfile | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=BatchSizeProfile)
    except (FileNotFoundError, msgspec.DecodeError):
        return None

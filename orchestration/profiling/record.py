"""Batch-size profiles in the state folder: one file a model and hardware, the latest."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from orchestration.profiling.figures import SizeFigures
from serving.config import StateFolder
from serving.wire import BatchSizePoint, BatchSizeProfile


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


def profile_of(
    model: str,
    hardware: str,
    measured_at: float,
    prompt_tokens: int,
    sizes: Iterable[SizeFigures],
) -> BatchSizeProfile:
    """The figures as hosts and planner know them."""
    return BatchSizeProfile(
        model=model,
        hardware=hardware,
        measured_at=measured_at,
        points=[
            BatchSizePoint(
                batch_size=size.batch_size,
                tpot_s=size.tpot_p50_s,
                ttft_s=size.ttft_p50_s,
                tokens_per_s=size.tokens_per_s,
            )
            for size in sizes
        ],
        prompt_tokens=prompt_tokens,
    )


def _read(path: Path) -> BatchSizeProfile | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=BatchSizeProfile)
    except (FileNotFoundError, msgspec.DecodeError):
        return None

"""The overrides in force, kept in the state folder: the one owner of that file.

Who changes it holds its lock for the read and the write: two operators at once lose nothing.
What has ended is dropped with the next change.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from orchestration.allocation.operators.overrides import Override, active
from orchestration.errors import OverridesUnreadable
from serving.config import StateFolder


@dataclass(frozen=True)
class OverrideRecord:
    """One file with all overrides; written whole, so that a reader never sees half of one."""

    path: Path

    @classmethod
    def of(cls, state: StateFolder) -> "OverrideRecord":
        """The record in a state folder."""
        return cls(state.plans / "overrides.json")

    def read(self) -> tuple[Override, ...]:
        """Every override, also ended ones. Raises OverridesUnreadable.

        No plan is made while they cannot be read: it might move what somebody pinned.
        """
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=tuple[Override, ...])
        except FileNotFoundError:
            return ()
        except msgspec.DecodeError as error:
            raise OverridesUnreadable(
                f"the overrides cannot be read: {error}",
                where=str(self.path),
                fix="Mend the file, or remove it and make the overrides again.",
            ) from error

    def in_force(self, now: float) -> tuple[Override, ...]:
        """The overrides that count at `now`. Raises OverridesUnreadable."""
        return active(self.read(), now)

    def add(self, override: Override, *, now: float) -> None:
        """Put `override` in force, in place of one about the same host, model or freeze."""
        with self._locked():
            self._write(active([*self.read(), override], now))

    def release(self, name: str | None, *, now: float) -> tuple[Override, ...]:
        """End those about the host or model `name`, or the freeze; all, if `name` is None."""
        with self._locked():
            current = self.in_force(now)
            ended = tuple(o for o in current if name is None or o.name == name)
            self._write(tuple(o for o in current if o not in ended))
        return ended

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write(self, overrides: tuple[Override, ...]) -> None:
        draft = self.path.with_suffix(".draft")
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(overrides)) + b"\n")
        draft.replace(self.path)

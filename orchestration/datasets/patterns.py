"""Placeholders in the paths of a dataset file, such as `{partition}` or `{start:%Y/%m}`."""

import string
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path

import msgspec

ALWAYS = frozenset({"state", "name"})
OF_PARTITIONS = frozenset({"partition"})
OF_PERIODS = frozenset({"start", "end"})


class Portion(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of a dataset is about: a partition, or all of it."""

    partition: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    """Of the partition's period, if it is one."""

    @property
    def words(self) -> str:
        """For people."""
        return self.partition or "all of it"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What paths of a dataset count from, and are filled in with."""

    folder: Path
    """Of the dataset file."""
    state: Path
    name: str
    """Of the dataset."""

    def meet(self, source: str, output: str) -> bool:
        """Whether the output at one pattern is, or is one of, the files at the other."""
        read, written = (
            self.fill(pattern, _EXAMPLE_PORTION).resolve() for pattern in (source, output)
        )
        return read.parent == written.parent and fnmatch(written.name, read.name)

    def fill(self, pattern: str, portion: Portion) -> Path:
        """The path that a checked pattern means for a portion."""
        known = msgspec.structs.asdict(portion)
        filled = pattern.format(state=self.state, name=self.name, **known)
        return self.folder / filled


_EXAMPLE = Place(folder=Path(), state=Path("state"), name="name")
_EXAMPLE_PORTION = Portion(partition="key", start=datetime(2026, 1, 1), end=datetime(2026, 1, 2))


def check_pattern(pattern: str, *, partitions: str = "hourly", where: str = "path") -> None:
    """Raise ValueError unless every placeholder has a meaning with these `partitions`."""
    allowed = set(ALWAYS)
    if partitions != "none":
        allowed |= OF_PARTITIONS
    if partitions not in ("none", "keys"):
        allowed |= OF_PERIODS
    unknown = sorted(_placeholders(pattern, where) - allowed)
    if unknown:
        known = ", ".join(f"{{{name}}}" for name in sorted(allowed))
        raise ValueError(
            f"{where}: {{{unknown[0]}}} means nothing with partitions by {partitions}; "
            f"known: {known}"
        )
    try:
        _EXAMPLE.fill(pattern, _EXAMPLE_PORTION)
    except ValueError as error:
        raise ValueError(f"{where}: {pattern!r}: {error}") from error


def names_a_partition(pattern: str) -> bool:
    """Whether partitions have different paths."""
    return bool(_placeholders(pattern, "path") & {"partition", "start", "end"})


def _placeholders(pattern: str, where: str) -> set[str]:
    try:
        parts = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise ValueError(f"{where}: {pattern!r} has an open brace: {error}") from error
    return {name for _, name, _, _ in parts if name is not None}

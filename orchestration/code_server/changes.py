"""Whether files differ from those that were loaded. Reads no file, only names, sizes and times."""

from collections.abc import Iterable, Mapping
from pathlib import Path

Files = Mapping[Path, tuple[int, int]]
"""Size and time of the last change, by file."""


def files_of(paths: Iterable[Path]) -> Files:
    """What is there of `paths` now."""
    found = {}
    for path in paths:
        try:
            seen = path.stat()
        except FileNotFoundError:  # taken away since it was listed
            continue
        found[path] = (seen.st_size, seen.st_mtime_ns)
    return found


class Changes:
    """The files that were loaded, and those of the last look."""

    def __init__(self, loaded: Files) -> None:
        self._loaded = self._last = loaded

    def look(self, seen: Files) -> bool:
        """Whether to load `seen`: other files, the same as at the last look.

        It says so once: files that could not be used are not loaded again until they change.
        """
        at_rest, self._last = seen == self._last, seen
        if not at_rest or seen == self._loaded:
            return False
        self._loaded = seen
        return True

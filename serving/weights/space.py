"""The room that the store's checkpoints take: what is there, what leaves, what is left over.

Whoever calls what removes holds the store's lock.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from serving.errors import WeightsError
from serving.weights.blobs import BlobStore, remove_tree
from serving.weights.locks import try_exclusive
from serving.weights.manifest import MANIFEST_NAME
from serving.weights.removal import Blobs, Kept, choose_removals, stored_bytes

_GIB = 2**30


class StoreSpace:
    """The folders of a store, and which of them go."""

    def __init__(self, root: Path, own: Path, blobs: BlobStore) -> None:
        self._root, self._own, self._blobs = root, own, blobs
        self._partial, self._removed = own / "partial", own / "removed"
        for folder in (self._partial, self._removed):
            folder.mkdir(exist_ok=True)

    def lease_file(self, key: str) -> Path:
        """Locked, together with others, by whoever uses the checkpoint."""
        return self._own / "leases" / key

    def preparation_lock(self, key: str) -> Path:
        """Locked by the process that makes or verifies the checkpoint."""
        return self._own / "locks" / key

    def new_partial(self, key: str) -> Path:
        """An empty folder to make the checkpoint in. The preparation's lock is held.

        What a killed process left for this key goes; the name is new, should something that it
        started still write.
        """
        for leftover in self._partial.iterdir():
            if _key_of(leftover) == key:
                remove_tree(leftover)
        partial = Path(tempfile.mkdtemp(prefix=f"{key}.", dir=self._partial))
        partial.chmod(0o755)
        return partial

    def make_room(
        self, key: str, incoming: Blobs, budget_bytes: int | None, progress: Callable[[str], None]
    ) -> None:
        """Remove what must go for a checkpoint of these blobs; WeightsError if it cannot fit."""
        if budget_bytes is None:
            return
        with ExitStack() as kept_unheld:  # nobody may take a lease between choice and removal
            kept = [self._kept(other, kept_unheld) for other in self._keys() if other != key]
            removals = choose_removals(kept, incoming, budget_bytes)
            if removals is None:
                raise _does_not_fit(key, kept, incoming, budget_bytes)
            for unneeded in removals:
                progress(f"removing {unneeded}: the store is at its budget")
                self.take_away(unneeded)
        if removals:
            self._blobs.empty_quarantine()
            self.sweep()

    def _kept(self, key: str, leases: ExitStack) -> Kept:
        lease = self.lease_file(key)
        never_held = not lease.exists()
        held = not leases.enter_context(try_exclusive(lease))
        if never_held:
            os.utime(lease, (0, 0))
        return Kept(key, self._contents(key), lease.stat().st_mtime, held)

    def _contents(self, key: str) -> dict[str, int]:
        """What the folder holds, whether or not its manifest can be read."""
        sizes: dict[str, int] = {}
        for entry in (self._root / key).rglob("*"):
            if entry.is_symlink():
                blob = self._blobs.path(entry.readlink().name)
                sizes[blob.name] = blob.stat().st_size if blob.exists() else 0
            elif entry.is_file() and entry.name != MANIFEST_NAME:
                sizes[f"{key}/{entry.name}"] = entry.stat().st_size
        return sizes

    def sweep(self) -> None:
        """Remove what no checkpoint needs: what was taken away, and what killed processes left."""
        wanted = {blob for key in self._keys() for blob in self._contents(key)}
        self._blobs.keep_only(wanted)
        for folder in self._removed.iterdir():
            remove_tree(folder)
        for folder in self._partial.iterdir():
            with try_exclusive(self.preparation_lock(_key_of(folder))) as abandoned:
                if abandoned:
                    remove_tree(folder)

    def take_away(self, key: str) -> None:
        """Have the folder gone at once; what is in it goes with the next sweep."""
        if (self._root / key).exists():
            aside = self._removed / key
            remove_tree(aside)
            (self._root / key).rename(aside)

    def _keys(self) -> Iterator[str]:
        for entry in sorted(self._root.iterdir()):
            if entry.is_dir() and not entry.name.startswith("."):
                yield entry.name


def _key_of(partial: Path) -> str:
    return partial.name.rpartition(".")[0]


def _does_not_fit(key: str, kept: list[Kept], incoming: Blobs, budget_bytes: int) -> WeightsError:
    held = [entry for entry in kept if entry.held]
    held_bytes = stored_bytes(entry.blobs for entry in held)
    names = ", ".join(entry.key for entry in held) or "nothing"
    return WeightsError(
        f"it needs {_gib(stored_bytes([incoming]))} and {_gib(held_bytes)} are in use ({names}), "
        f"which does not fit into the store's budget of {_gib(budget_bytes)}",
        where=f"checkpoint {key}",
        fix="Raise weights.budget_gib in the fleet file, or stop what is in use.",
    )


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / _GIB:.3f} GiB"

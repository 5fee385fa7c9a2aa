"""The store of checkpoints that the processes of a machine share.

A checkpoint is a folder of links into the blobs, with a manifest. It is made beside its place and
comes there by one rename, after its blobs; so whatever dies in the middle leaves nothing that is
taken for a checkpoint. What it leaves is removed when the next checkpoint comes. How files are
made is not known here, nor what is in them.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.errors import WeightsError
from serving.weights.blobs import (
    BlobStore,
    Digest,
    current_boot,
    digest,
    force_to_disk,
    remove_tree,
)
from serving.weights.locks import Lease, exclusive
from serving.weights.manifest import (
    Manifest,
    StoredFile,
    read_manifest,
    write_manifest,
)
from serving.weights.space import StoreSpace

Make = Callable[[Path], None]
"""Fills the empty folder that it is given."""
Progress = Callable[[str], None]


class CheckpointStore:
    """The checkpoints below one folder, by key.

    Locks are taken in this order: the lease of a checkpoint, the lock of its preparation, the
    store's. The store's is held for moments, the preparation's for as long as it takes.
    """

    def __init__(self, root: Path, boot: str | None = None) -> None:
        self._root, self._own = root, root / ".store"
        with self._disk_errors(str(root)):
            self._blobs = BlobStore(self._own, current_boot() if boot is None else boot)
            self._space = StoreSpace(root, self._own, self._blobs)

    def lease(self, key: str) -> Lease:
        """Hold the checkpoint, also one that is yet to be made: it is not removed."""
        with self._disk_errors(key):
            return Lease(self._root / key, self._space.lease_file(key))

    def ready(self, key: str) -> bool:
        """Whether the checkpoint is there and was verified since the boot. Cheap."""
        files = self._linked_files(key)
        return files is not None and all(self._blobs.known_whole(f.sha256) for f in files.values())

    def ensure(
        self, key: str, make: Make, progress: Progress, budget_bytes: int | None = None
    ) -> None:
        """Have the checkpoint there and verified, made with `make` if need be.

        The caller holds its lease. Raises what `make` raises, and WeightsError.
        """
        with self._disk_errors(key):
            if self.ready(key):
                return
            with exclusive(self._space.preparation_lock(key), lambda: progress(_waiting(key))):
                if not self.ready(key) and not self._verify(key, progress):
                    self._make(key, make, progress, budget_bytes)

    def _linked_files(self, key: str) -> dict[str, StoredFile] | None:
        """The files of the checkpoint's manifest, if each is a link to its blob."""
        folder = self._root / key
        manifest = read_manifest(folder)
        if manifest is None:
            return None
        for name, file in manifest.files.items():
            link = folder / name
            if not link.is_symlink() or link.readlink().name != file.sha256:
                return None
        return dict(manifest.files)

    def _verify(self, key: str, progress: Progress) -> bool:
        """Hash what is not known to be whole; name and quarantine what is damaged."""
        files = self._linked_files(key)
        if files is None:
            if (self._root / key).exists():
                progress(f"{key} is not as its manifest says; making it again")
            return False
        whole = True
        for name, file in sorted(files.items()):
            damage = self._blobs.damage(file.sha256)
            if damage is not None:
                whole = False
                progress(f"{key}/{name} {damage}; making it again")
                self._put_aside(file.sha256, progress)
        return whole

    def _put_aside(self, sha256: str, progress: Progress) -> None:
        with self._locked():
            if self._blobs.known_whole(sha256):  # another checkpoint has just brought a whole one
                return
            aside = self._blobs.quarantine(sha256)
        if aside is not None:
            progress(f"the damaged file is kept as {aside}")

    def _make(self, key: str, make: Make, progress: Progress, budget_bytes: int | None) -> None:
        partial = self._space.new_partial(key)
        try:
            make(partial)
            digests = _forced_and_hashed(partial)
            with self._locked():
                self._space.sweep()
                sizes = {d.sha256: d.size_bytes for d in digests.values()}
                self._space.make_room(key, sizes, budget_bytes, progress)
                self._commit(key, partial, digests)
                self._space.sweep()
        except BaseException:
            remove_tree(partial)
            with self._locked():
                self._space.sweep()
            raise

    def _commit(self, key: str, partial: Path, digests: dict[str, Digest]) -> None:
        place = self._root / key
        for name, hashed in digests.items():
            self._blobs.adopt(partial / name, hashed)
            blob = self._blobs.path(hashed.sha256)
            # Relative, so that the folder may be reached by any path, and be moved.
            (partial / name).symlink_to(os.path.relpath(blob, (place / name).parent))
        files = {name: StoredFile(d.sha256, d.size_bytes) for name, d in digests.items()}
        force_to_disk(write_manifest(partial, Manifest(files)))
        for folder in (partial, *(entry for entry in partial.rglob("*") if entry.is_dir())):
            force_to_disk(folder)
        self._blobs.force_to_disk()
        self._space.take_away(key)  # one that is damaged, or was made before there was a store
        partial.rename(place)
        force_to_disk(self._root)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with exclusive(self._own / "locks" / ".store"):
            yield

    @contextmanager
    def _disk_errors(self, where: str) -> Iterator[None]:
        """Turn the disk's errors into ours."""
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise WeightsError(
                "the disk is full: No space left" if full else f"the store failed: {error}",
                where=f"{where}, in {self._root}",
                fix="Free space on the disk; nothing half made was left."
                if full
                else "Check the permissions of the state folder and the disk's health.",
            ) from error


def _forced_and_hashed(folder: Path) -> dict[str, Digest]:
    digests: dict[str, Digest] = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            force_to_disk(file)
            digests[str(file.relative_to(folder))] = digest(file)
    return digests


def _waiting(key: str) -> str:
    return f"waiting for another process that prepares {key}"

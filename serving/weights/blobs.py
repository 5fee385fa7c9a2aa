"""The store's blobs: files named by the SHA-256 of what is in them.

What was hashed is remembered with the file's identity (inode, size, time of change) and the boot of
the machine; a blob is hashed again when one of them has changed. Which checkpoint needs which blob
is not known here.
"""

import hashlib
import os
import shutil
import threading
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def current_boot() -> str:
    """A name that differs from one boot of the machine to the next; empty if it has none."""
    return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""


@dataclass(frozen=True)
class Digest:
    """A file's hash, and which file it was that was hashed."""

    sha256: str
    size_bytes: int
    identity: str


def digest(path: Path) -> Digest:
    """Hash a file."""
    size_bytes, identity = _stat(path)
    with path.open("rb") as file:
        return Digest(hashlib.file_digest(file, "sha256").hexdigest(), size_bytes, identity)


class BlobStore:
    """The blobs below one folder, what is remembered of them, and the quarantine."""

    def __init__(self, root: Path, boot: str) -> None:
        self._blobs, self._seen = root / "blobs", root / "seen"
        self._quarantine, self._boot = root / "quarantine", boot
        for folder in (self._blobs, self._seen, self._quarantine):
            folder.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Where the blob is, if it is there."""
        return self._blobs / sha256

    def known_whole(self, sha256: str) -> bool:
        """Whether the blob was hashed since the boot and not changed since. Reads no content."""
        try:
            _, identity = _stat(self.path(sha256))
            return (self._seen / sha256).read_text() == self._memory(identity)
        except OSError:
            return False

    def damage(self, sha256: str) -> str | None:
        """Hash the blob unless known to be whole; what is wrong with it, if anything is."""
        if self.known_whole(sha256):
            return None
        try:
            found = digest(self.path(sha256))
        except FileNotFoundError:
            return "is missing"
        except OSError as error:  # the disk cannot give back what was written
            return f"cannot be read ({error.strerror})"
        if found.sha256 != sha256:
            return f"has the hash {found.sha256[:12]} instead of {sha256[:12]}"
        self._remember(found)
        return None

    def adopt(self, file: Path, hashed: Digest) -> None:
        """Move a file that was just hashed into its place, over what may be there."""
        file.replace(self.path(hashed.sha256))
        file.unlink(missing_ok=True)  # a rename between two names of one file does nothing
        self._remember(hashed)

    def quarantine(self, sha256: str) -> Path | None:
        """Put a damaged blob where nothing uses it; its new path, None if it is missing."""
        aside = self._quarantine / sha256
        aside.unlink(missing_ok=True)
        try:
            return self.path(sha256).replace(aside)
        except FileNotFoundError:
            return None

    def empty_quarantine(self) -> None:
        """Remove what was damaged."""
        for blob in self._quarantine.iterdir():
            blob.unlink()

    def keep_only(self, wanted: Collection[str]) -> None:
        """Remove every other blob."""
        for folder in (self._blobs, self._seen):
            for entry in folder.iterdir():
                if entry.name.partition(".")[0] not in wanted:
                    entry.unlink(missing_ok=True)

    def force_to_disk(self) -> None:
        """Have the names of the blobs outlive a loss of power."""
        force_to_disk(self._blobs)

    def _remember(self, hashed: Digest) -> None:
        new = self._seen / f"{hashed.sha256}.{os.getpid()}-{threading.get_ident()}"
        new.write_text(self._memory(hashed.identity))
        new.replace(self._seen / hashed.sha256)

    def _memory(self, identity: str) -> str:
        return f"{self._boot} {identity}\n"


def force_to_disk(path: Path) -> None:
    """Have a file's content, or a folder's names, outlive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Remove a folder, or the link that stands for one, if it is there."""
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _stat(path: Path) -> tuple[int, str]:
    found = path.stat()
    return found.st_size, f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"

"""The manifest of a checkpoint: its files, by the hashes of what is in them.

It lies in the checkpoint's folder, which comes into place by one rename: a folder with a manifest
is whole.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

MANIFEST_NAME = ".turntable-manifest.json"

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class StoredFile(msgspec.Struct, frozen=True):
    """One file of a checkpoint."""

    sha256: Sha256
    size_bytes: int


class Manifest(msgspec.Struct, frozen=True):
    """All files of a checkpoint, by their paths in its folder."""

    files: Mapping[str, StoredFile]


def write_manifest(folder: Path, manifest: Manifest) -> Path:
    """Put the manifest into the folder; its path."""
    path = folder / MANIFEST_NAME
    path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    return path


def read_manifest(folder: Path) -> Manifest | None:
    """The folder's manifest; None if there is none, or none that can be read."""
    try:
        return msgspec.json.decode((folder / MANIFEST_NAME).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        return None

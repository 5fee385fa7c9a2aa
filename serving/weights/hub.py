"""Files of the Hugging Face hub, through its library's cache.

The cache resumes a download that was cut off, and serves other tools. Its files are checked against
the hashes that the hub gave for them, and come into the store as hard links where they can.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from serving.errors import WeightsError

_WANTED = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]


def download(repo: str, revision: str, folder: Path, progress: Callable[[str], None]) -> None:
    """Fetch a repository of the hub, or take it from the local cache, into an empty folder."""
    where = f"hub repository {repo} at {revision}"
    snapshot = _snapshot(repo, revision, where)
    damaged = _remove_damaged(snapshot)
    if damaged:
        progress(f"damaged in the hub's cache, fetching again: {', '.join(damaged)}")
        snapshot = _snapshot(repo, revision, where)
        if damaged := _remove_damaged(snapshot):
            raise WeightsError(
                f"{', '.join(damaged)} came damaged twice", where=where, fix="Try again later."
            )
    if not (snapshot / "config.json").is_file() or not any(snapshot.glob("*.safetensors")):
        raise WeightsError(
            "it has no config.json, or no weights as safetensors",
            where=where,
            fix="Name a repository of a language model in that form.",
        )
    _take_files(snapshot, folder)


def _snapshot(repo: str, revision: str, where: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=_WANTED))
    except LocalEntryNotFoundError as error:
        raise WeightsError(
            "the hub cannot be reached and its local cache has no copy",
            where=where,
            fix="Go online once (unset HF_HUB_OFFLINE), or use a local source.",
        ) from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise WeightsError(
            f"the download failed: {error}",
            where=where,
            fix="Check free space, the name, the revision, and HF_TOKEN if it is gated.",
        ) from error


def _remove_damaged(snapshot: Path) -> list[str]:
    """Remove from the cache what is not what the hub said it is; the names of those files."""
    damaged: list[str] = []
    for entry in _files(snapshot):
        blob = entry.resolve()
        if not blob.exists() or not _is_named_for_its_content(blob):
            damaged.append(str(entry.relative_to(snapshot)))
            entry.unlink()
            blob.unlink(missing_ok=True)
    return damaged


def _is_named_for_its_content(blob: Path) -> bool:
    """The cache names a large file by its SHA-256, a small one by git's hash of it.

    A file with another kind of name cannot be checked, and is taken as it is.
    """
    with blob.open("rb") as file:
        if re.fullmatch("[0-9a-f]{64}", blob.name):
            return hashlib.file_digest(file, "sha256").hexdigest() == blob.name
        if re.fullmatch("[0-9a-f]{40}", blob.name):
            git = hashlib.sha1(b"blob %d\0" % blob.stat().st_size, usedforsecurity=False)
            return hashlib.file_digest(file, lambda: git).hexdigest() == blob.name
    return True


def _take_files(snapshot: Path, folder: Path) -> None:
    for entry in _files(snapshot):
        target = folder / entry.relative_to(snapshot)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(entry.resolve(), target)
        except OSError:  # another file system, or one without links
            shutil.copyfile(entry.resolve(), target)


def _files(snapshot: Path) -> list[Path]:
    return sorted(entry for entry in snapshot.rglob("*") if entry.is_file())

"""Dropping batches and files whose time is over, and what was left of them.

The catalog forgets first, in one transaction; then content and work folders go that no record
names. So a sweep that is cut off anywhere leaves only what a later one drops. Partitions of the
control plane follow the catalog by themselves.
"""

import shutil
from contextlib import suppress
from pathlib import Path

import msgspec

from serving.batches.catalog import Catalog
from serving.batches.files import FileStore


class Swept(msgspec.Struct, frozen=True):
    """What a sweep dropped."""

    batches: int
    files: int
    leftovers: int
    """Work folders and old content that no record names, those of `batches` among them."""


class Sweep:
    """The one who drops. `work` has a folder for each batch, under its id."""

    def __init__(
        self,
        catalog: Catalog,
        files: FileStore,
        work: Path,
        *,
        retention_s: float,
    ) -> None:
        self._catalog, self._files, self._work = catalog, files, work
        self._retention_s = retention_s

    def run(self) -> Swept:
        """Drop what is due, and what an earlier sweep or a crash left."""
        gone = self._catalog.forget_due(self._retention_s)
        self._files.drop(gone.files)
        leftovers = self._drop_work() + self._files.drop_leftovers()
        return Swept(len(gone.batches), len(gone.files), leftovers)

    def _drop_work(self) -> int:
        """Drop work folders without a batch, those of batches just forgotten among them."""
        # Folders first: a batch has its record before it has a folder.
        folders = [path for path in self._work.iterdir() if path.is_dir()]
        known = self._catalog.batch_ids()
        gone = [path for path in folders if path.name not in known]
        for path in gone:
            with suppress(FileNotFoundError):  # another gateway sweeps too
                shutil.rmtree(path)
        return len(gone)

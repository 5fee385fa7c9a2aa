"""The state folder: where a running Turntable keeps everything it writes.

This is the one owner of the folder's layout; no other module spells a path inside it.
"""

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

STATE_VARIABLE = "TURNTABLE_STATE"
"""Environment variable that overrides the state folder's place."""


@dataclass(frozen=True)
class StateFolder:
    """Paths below one root; a path's parent is made when the path is asked for."""

    root: Path

    @classmethod
    def default(cls) -> "StateFolder":
        """`$TURNTABLE_STATE`, else `.turntable` in the working folder."""
        return cls(Path(os.environ.get(STATE_VARIABLE, ".turntable")).resolve())

    def folder(self, *parts: str) -> Path:
        """A folder below the root, made if it is not there."""
        path = self.root.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def weights(self) -> Path:
        """Prepared checkpoints, one folder each, and the store of their files."""
        return self.folder("weights")

    @property
    def database(self) -> Path:
        """The traffic database file; only the store process opens it."""
        return self.folder("store") / "traffic.duckdb"

    @property
    def dagster(self) -> Path:
        """Dagster's run storage, event logs and compute logs."""
        return self.folder("dagster")

    @property
    def logs(self) -> Path:
        """One log file a process."""
        return self.folder("logs")

    @property
    def run(self) -> Path:
        """Sockets, process ids and generated process configuration."""
        return self.folder("run")

    @property
    def plans(self) -> Path:
        """The last allocation plan, operators' overrides, and the lock of allocation runs."""
        return self.folder("plans")

    @property
    def profiles(self) -> Path:
        """Batch-size profiles, one file a model and hardware."""
        return self.folder("profiles")

    @property
    def prompts(self) -> Path:
        """Batch input: one prompt file a day, `<YYYY-MM-DD>.parquet`.

        Columns: `id` (text, unique in the file), `prompt` (text) or `messages` (text, a JSON list
        of chat messages), and optionally `model` (absent or null: the fleet's first), `max_tokens`
        and `temperature`.
        """
        return self.folder("batch", "prompts")

    @property
    def completions(self) -> Path:
        """Batch output: `<YYYY-MM-DD>.parquet`, and the checkpoints of rows done."""
        return self.folder("batch", "completions")

    @property
    def batch_catalog(self) -> Path:
        """The catalog of files and batches (SQLite)."""
        return self.folder("batch") / "catalog.sqlite"

    @property
    def batch_files(self) -> Path:
        """Content of uploaded, output and error files."""
        return self.folder("batch", "files")

    @property
    def batches_work(self) -> Path:
        """A folder for each batch."""
        return self.folder("batch", "work")

    def batch_work(self, batch_id: str) -> Path:
        """What a batch needs while it runs: the index of its lines, its journals."""
        return self.folder("batch", "work", batch_id)

    def partials(self, gateway_port: int) -> Path:
        """Generations that the gateway of this port has begun and not ended."""
        return self.folder("batch", "partials", str(gateway_port))

    def host(self, name: str) -> Path:
        """What one engine host remembers across restarts (the last plan it obeyed)."""
        return self.folder("hosts", name)

    def token(self, name: str) -> str:
        """The secret called `name`, generated on first use into a file only its owner can read."""
        path = self.token_file(name)
        if not path.exists():
            _make_token(path)
        return path.read_text().strip()

    def token_file(self, name: str) -> Path:
        """Where the secret called `name` is, once somebody has asked for it."""
        return self.folder("secrets") / name


def _make_token(path: Path) -> None:
    """Make the file whole, or leave the one that another process made meanwhile."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()

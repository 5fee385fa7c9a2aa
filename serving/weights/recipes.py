"""How the files of each kind of source are made, into an empty folder.

Whatever needs torch is `conversion`, run here as a process of its own: its memory is given back
when it ends, and importing this module costs nothing.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from serving.config.fleet import RandomSource
from serving.errors import WeightsError

_TAIL_LINES = 15
_WANTED = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]

PROGRESS_MARK = "progress: "
"""What a line of the conversion's output begins with that is meant for the user."""


def convert_packaged(folder: Path, progress: Callable[[str], None]) -> None:
    """Convert the packaged SmolLM2 weights to a bf16 safetensors checkpoint."""
    _run_conversion("packaged", {"folder": str(folder)}, progress)


def write_random(
    source: RandomSource, tokenizer: Path, folder: Path, progress: Callable[[str], None]
) -> None:
    """Write random weights of the source's shape, with the tokenizer of another checkpoint."""
    settings = {"folder": str(folder), "tokenizer": str(tokenizer), **source.model_dump()}
    _run_conversion("random", settings, progress)


def download(repo: str, revision: str, folder: Path) -> None:
    """Fetch a repository of the Hugging Face hub (or its local cache)."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    where = f"hub repository {repo} at {revision}"
    try:
        snapshot = Path(snapshot_download(repo, revision=revision, allow_patterns=_WANTED))
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
            fix="Check the name, the revision, and HF_TOKEN if the repository is gated.",
        ) from error
    if not (snapshot / "config.json").is_file() or not any(snapshot.glob("*.safetensors")):
        raise WeightsError(
            "it has no config.json, or no weights as safetensors",
            where=where,
            fix="Name a repository of a language model in that form.",
        )
    _link_files(snapshot, folder)


def _link_files(snapshot: Path, folder: Path) -> None:
    """Make links to the cache's files, which stay there once and are shared with other tools."""
    for entry in snapshot.rglob("*"):
        if entry.is_file():
            target = folder / entry.relative_to(snapshot)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(entry.resolve())


def _run_conversion(
    recipe: str, settings: dict[str, object], progress: Callable[[str], None]
) -> None:
    command = [sys.executable, "-m", "serving.weights.conversion", recipe, json.dumps(settings)]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        tail: list[str] = []
        try:
            for line in process.stdout:
                if line.startswith(PROGRESS_MARK):
                    progress(line.removeprefix(PROGRESS_MARK).strip())
                else:
                    tail = [*tail, line.rstrip()][-_TAIL_LINES:]
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise WeightsError(
            "the conversion failed:\n" + "\n".join(tail),
            where=f"{recipe} weights",
            fix="Run the install again (make clean, then make up); check free memory and disk.",
        )

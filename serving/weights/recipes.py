"""Conversions: how the files of the sources that are made here come into an empty folder.

Whatever needs torch is `conversion`, run here as a process of its own: its memory is given back
when it ends, and importing this module costs nothing.
"""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from serving.config.fleet import RandomSource
from serving.errors import WeightsError

_TAIL_LINES = 15

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


def _run_conversion(
    recipe: str, settings: dict[str, object], progress: Callable[[str], None]
) -> None:
    command = [sys.executable, "-m", "serving.weights.conversion", recipe, json.dumps(settings)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # open for as long as this process lives
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
        # Libraries turn the disk's error into text before it gets here.
        if any("No space left" in line or "os error 28" in line for line in tail):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise WeightsError(
            "the conversion failed:\n" + "\n".join(tail),
            where=f"{recipe} weights",
            fix="Run the install again (make clean, then make up); check free memory and disk.",
        )

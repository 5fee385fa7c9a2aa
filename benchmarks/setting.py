"""What a benchmark is given, and the error it raises when it cannot run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from serving.config import StateFolder
from serving.errors import TurntableError


class BenchmarkUnable(TurntableError):
    """A benchmark could not run to its end, so there are no figures."""


@dataclass(frozen=True)
class Setting:
    """Where a benchmark finds models and puts plots, and how it says what it does."""

    fleet_file: Path
    """Its models are measured; ports are always free ones."""
    state: StateFolder
    """Its prepared weights are shared; nothing else in it is touched."""
    say: Callable[[str], None]
    plots_dir: Path | None = None
    prompts: Path | None = None
    """JSON lines of a real set, for benchmarks that ask questions; without it they make some."""
    trace: Path | None = None
    """Parquet file of requests, for benchmarks that replay arrivals; without it they make some."""

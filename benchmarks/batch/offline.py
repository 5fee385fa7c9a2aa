"""vLLM's own offline batch: `run_batch` on a file, untouched, in a process of its own.

Its start is not counted: the clock runs from the log line in which it says that it reads the file
to the moment at which the last line of the output file is written.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.batch.comparison import output_tokens, read_rows
from benchmarks.servers import Server, until
from benchmarks.setting import BenchmarkUnable
from benchmarks.start import START_LIMIT_S
from benchmarks.stock import engine_options, stock_environment
from benchmarks.workspace import Workspace
from serving.config import HostSettings, ModelSettings

_READING = b"Reading batch from"
_RUN_LIMIT_S = 900.0
_CPU_STEP_TOKENS = 128
"""Prompt tokens of a step, as on our hosts (`serving.engine.vllm.arguments`)."""


@dataclass(frozen=True)
class OfflineRun:
    """One run of the file."""

    seconds: float
    output_tokens: int

    @property
    def tokens_per_s(self) -> float:
        """Output tokens over the whole time."""
        return self.output_tokens / self.seconds


def run_offline(
    workspace: Workspace,
    model: ModelSettings,
    host: HostSettings,
    lines: Path,
    *,
    rows: int,
    name: str,
) -> OfflineRun:
    """Run the `rows` of `lines` with vLLM alone. Raises BenchmarkUnable if a row has no answer."""
    output, log = workspace.root / f"{name}.jsonl", workspace.root / f"{name}.log"
    with Server(
        _command(workspace, model, host, lines, output), log, stock_environment(workspace, host)
    ) as server:
        until(
            lambda: _READING in log.read_bytes() or None,
            "vLLM reads the file",
            limit_s=START_LIMIT_S,
            server=server,
        )
        began = time.monotonic()
        until(
            lambda: (output.exists() and output.read_bytes().count(b"\n") >= rows) or None,
            "vLLM has done the file",
            limit_s=_RUN_LIMIT_S,
            server=server,
        )
        seconds = time.monotonic() - began
    answered = read_rows(output.read_bytes().splitlines())
    failures = [row.failed for row in answered if row.failed is not None]
    if failures:
        raise BenchmarkUnable(
            f"vLLM's run_batch failed at {len(failures)} of {rows} rows: {failures[0]}",
            where=str(log),
            fix="Look at this log.",
        )
    return OfflineRun(seconds, output_tokens(answered))


def _command(
    workspace: Workspace, model: ModelSettings, host: HostSettings, lines: Path, output: Path
) -> list[str]:
    # Not `vllm run-batch`: the command asks for the version of a package `vllm`, which on CPU has
    # another name, and ends. It would start this very module.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.run_batch"]
    command += ["-i", str(lines), "-o", str(output)]
    command += engine_options(workspace, model, host)
    if host.accelerator == "cpu":
        command += ["--max-num-batched-tokens", str(max(_CPU_STEP_TOKENS, model.slots))]
    return command

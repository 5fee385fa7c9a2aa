"""Long files: how soon one is validated, and what a hundred times the lines does to memory."""

import time

from benchmarks.batch.lines import chat_lines, short_lines, write_lines
from benchmarks.batch.memory import watched
from benchmarks.batch.processes import gateway_pids, run_pids
from benchmarks.batch.samples import VALIDATED_LINES, ScaleRun
from benchmarks.batch.submission import BatchClient
from benchmarks.instance import Instance
from benchmarks.workspace import Workspace

_ANSWER_TOKENS = (64, 160)
_FAR = 1_000_000
"""Numbers that no other file uses."""
_CANCEL_LIMIT_S = 120.0
_RUN_LIMIT_S = 1200.0


def time_validation(instance: Instance, workspace: Workspace, texts: list[str]) -> float:
    """From creating a batch of many lines to its being in progress; then it is cancelled."""
    model = instance.fleet.models[0].name
    lines = chat_lines(model, texts, VALIDATED_LINES, _ANSWER_TOKENS, first=_FAR)
    path = write_lines(lines, workspace.root / "validated.jsonl")
    client = BatchClient(instance)
    submitted = client.submit(path, key=path.name)
    validated_s = client.wait_validated(submitted) - submitted.created_at
    client.cancel(submitted, _CANCEL_LIMIT_S)
    return validated_s


def measure_memory(instance: Instance, workspace: Workspace, model: str, lines: int) -> ScaleRun:
    """Run so many short rows of `model`, and watch the gateway and the run."""
    path = write_lines(short_lines(model, lines), workspace.root / f"short-{lines}.jsonl")
    client = BatchClient(instance)
    began = time.monotonic()
    with watched(lambda: {"gateway": gateway_pids(instance), "run": run_pids(instance)}) as peaks:
        submitted = client.submit(path, key=path.name)
        client.wait_completed(submitted, _RUN_LIMIT_S)
    return ScaleRun(lines, time.monotonic() - began, peaks.by_name)

"""`turntable bench batch`: files in, files out, held against vLLM's own offline batch.

One run compares the throughput of a file through API, Dagster and gateway with that of vLLM's
`run_batch`, so too for prompts that share beginnings, runs long files for time and memory, and
kills run workers, the gateway and hosts while batches run, whose rows must come out once and
unchanged.
"""

from pathlib import Path

from benchmarks.batch.fleet import exact_fleet, speed_fleet
from benchmarks.batch.lines import chat_lines, document_lines, write_lines
from benchmarks.batch.offline import run_offline
from benchmarks.batch.pins import pin_hosts
from benchmarks.batch.plots import write_plots
from benchmarks.batch.rows import rows_of
from benchmarks.batch.samples import LARGE_LINES, SMALL_LINES, BatchSamples
from benchmarks.batch.scale import measure_memory, time_validation
from benchmarks.batch.survival import survive
from benchmarks.batch.throughput import time_batch
from benchmarks.coserve.prompts import prompts_of
from benchmarks.figures import Row
from benchmarks.instance import Instance, started_instance
from benchmarks.setting import Setting
from benchmarks.workspace import Workspace
from serving.config import Fleet

ROWS = 256
_ANSWER_TOKENS = (64, 160)
_DOCUMENTS, _QUESTIONS, _SHORT_TOKENS = 32, 4, 16
_EXACT_ROWS = 160
_EXACT_TOKENS = (16, 96)
_SEED = 6


def measure(setting: Setting) -> list[Row]:
    """Run it all; the rows of figures. Raises BenchmarkUnable."""
    samples = BatchSamples()
    texts = prompts_of(setting.prompts, _SEED)
    with Workspace.temporary(setting) as workspace:
        fleet = speed_fleet(workspace.original_fleet)
        workspace.prepare_weights(fleet)
        lines = _lines(workspace, fleet, texts, "one-host", 0)
        _run_offline(workspace, fleet, lines, samples)
        with started_instance(workspace, fleet, "speed") as instance:
            instance.wait_ready()
            _measure_speed(instance, workspace, texts, lines, samples)
            _measure_shared(instance, workspace, _documents(workspace, fleet, texts), samples)
        _run_offline(workspace, fleet, lines, samples)
        _run_shared_offline(workspace, fleet, _documents(workspace, fleet, texts), samples)
        _measure_survival(workspace, texts, samples)
    if setting.plots_dir is not None:
        write_plots(samples, setting.plots_dir)
    return rows_of(samples)


def _lines(workspace: Workspace, fleet: Fleet, texts: list[str], name: str, first: int) -> Path:
    lines = chat_lines(fleet.models[0].name, texts, ROWS, _ANSWER_TOKENS, first=first)
    return write_lines(lines, workspace.root / f"{name}.jsonl")


def _run_offline(workspace: Workspace, fleet: Fleet, lines: Path, samples: BatchSamples) -> None:
    """Once before and once after, so that a machine that changes its pace favours nobody."""
    name = f"offline-{len(samples.offline)}"
    run = run_offline(workspace, fleet.models[0], fleet.hosts[0], lines, rows=ROWS, name=name)
    samples.offline.append(run)
    workspace.say(f"vLLM's run_batch: {run.tokens_per_s:.0f} tokens/s, {run.seconds:.0f} s")


def _measure_speed(
    instance: Instance, workspace: Workspace, texts: list[str], lines: Path, samples: BatchSamples
) -> None:
    model, tiny = (model.name for model in instance.fleet.models[:2])
    fleet_file = workspace.root / "speed.yaml"
    for host in instance.fleet.hosts:
        instance.wait_for_tiers(host.name)
    pin_hosts(instance, fleet_file, [model, tiny])
    samples.one_host.append(time_batch(instance, lines, ROWS))
    workspace.say(f"one host: {samples.one_host[-1].tokens_per_s:.0f} tokens/s")
    samples.validated_s = time_validation(instance, workspace, texts)
    workspace.say(f"validated in {samples.validated_s:.1f} s")
    for size in (SMALL_LINES, LARGE_LINES):
        samples.scale.append(measure_memory(instance, workspace, tiny, size))
        workspace.say(f"{size:,} short lines in {samples.scale[-1].seconds:.0f} s")
    pin_hosts(instance, fleet_file, [model, model])
    more = _lines(workspace, instance.fleet, texts, "two-hosts", ROWS)
    samples.two_hosts.append(time_batch(instance, more, ROWS))
    workspace.say(f"two hosts: {samples.two_hosts[-1].tokens_per_s:.0f} tokens/s")


def _documents(workspace: Workspace, fleet: Fleet, texts: list[str]) -> Path:
    """Prompts that share beginnings: more of these than the model's KV cache holds."""
    lines = document_lines(fleet.models[-1].name, texts, _DOCUMENTS, _QUESTIONS, _SHORT_TOKENS)
    return write_lines(lines, workspace.root / "documents.jsonl")


def _measure_shared(
    instance: Instance, workspace: Workspace, lines: Path, samples: BatchSamples
) -> None:
    models = [model.name for model in instance.fleet.models]
    pin_hosts(instance, workspace.root / "speed.yaml", [models[-1], models[1]])
    samples.shared.append(time_batch(instance, lines, _DOCUMENTS * _QUESTIONS))
    run = samples.shared[-1]
    workspace.say(f"prompts that share beginnings: {run.completed_at - run.began_at:.0f} s")


def _run_shared_offline(
    workspace: Workspace, fleet: Fleet, lines: Path, samples: BatchSamples
) -> None:
    rows = _DOCUMENTS * _QUESTIONS
    run = run_offline(
        workspace, fleet.models[-1], fleet.hosts[0], lines, rows=rows, name="offline-shared"
    )
    samples.shared_offline.append(run)
    workspace.say(f"the same by vLLM's run_batch: {run.seconds:.0f} s")


def _measure_survival(workspace: Workspace, texts: list[str], samples: BatchSamples) -> None:
    fleet = exact_fleet(workspace.original_fleet)
    workspace.prepare_weights(fleet)
    lines = chat_lines(fleet.models[0].name, texts, _EXACT_ROWS, _EXACT_TOKENS)
    path = write_lines(lines, workspace.root / "exact.jsonl")
    with started_instance(workspace, fleet, "kills") as instance:
        instance.wait_ready()
        samples.survival = survive(instance, path, _EXACT_ROWS)

"""The benchmarks by name, and running one.

A benchmark's module is imported when it is run: listing the names costs nothing.
"""

import importlib
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks.figures import BenchmarkResult, Row
from benchmarks.machine import describe_machine, describe_versions
from benchmarks.report import show, write_json
from benchmarks.setting import BenchmarkUnable, Setting
from serving.config import StateFolder

Benchmark = Callable[[Setting], list[Row]]

_BENCHMARKS = {
    "batch": "benchmarks.batch:measure",
    "calibrate": "benchmarks.calibration:measure",
    "coserve": "benchmarks.coserve:measure",
    "failover": "benchmarks.failover:measure",
    "loop": "benchmarks.loop:measure",
    "plan": "benchmarks.plan:measure",
    "reaction": "benchmarks.reaction:measure",
    "swap": "benchmarks.swap:measure",
}
"""Name to `module:function`."""


def names() -> list[str]:
    """The benchmarks there are."""
    return sorted(_BENCHMARKS)


def run(
    name: str,
    json_path: Path | None = None,
    plots_dir: Path | None = None,
    *,
    fleet_file: Path = Path("config/fleet.yaml"),
    state: StateFolder | None = None,
    prompts: Path | None = None,
    trace: Path | None = None,
    benchmark: Benchmark | None = None,
) -> BenchmarkResult:
    """Run a benchmark, show its table, write JSON and plots where asked.

    A missed target is reported in the rows and raises nothing. Raises BenchmarkUnable if the
    benchmark cannot run. `benchmark` replaces the registered function of that name.
    """
    console = Console(highlight=False)
    measure = benchmark or _find(name)
    if plots_dir is not None:
        plots_dir.mkdir(parents=True, exist_ok=True)
    setting = Setting(
        fleet_file=fleet_file,
        state=state or StateFolder.default(),
        say=lambda sentence: console.print(f"[dim]{name}:[/] {sentence}", soft_wrap=True),
        plots_dir=plots_dir,
        prompts=prompts,
        trace=trace,
    )
    rows = measure(setting)
    result = BenchmarkResult(name, describe_machine(), describe_versions(), rows)
    show(result, console)
    if json_path is not None:
        write_json(result, json_path)
    return result


def check_name(name: str) -> None:
    """Raise BenchmarkUnable, with the names there are, if there is no such benchmark."""
    if name not in _BENCHMARKS:
        raise BenchmarkUnable(
            f"there is no benchmark {name!r}",
            where="turntable bench",
            fix=f"Name one of: {', '.join(names())}.",
        )


def _find(name: str) -> Benchmark:
    check_name(name)
    module, _, function = _BENCHMARKS[name].partition(":")
    measure: Benchmark = getattr(importlib.import_module(module), function)
    return measure

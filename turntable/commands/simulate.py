"""`turntable simulate`: what policies would have done on a recorded trace."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from turntable.settings import console

if TYPE_CHECKING:
    from benchmarks.figures import Row
    from simulation.study import Study


def simulate(
    trace: Annotated[Path, typer.Option(help="A Parquet file of requests.")],
    hosts: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Engine hosts; unless given, a third of the models and twice the mean load "
            "at least.",
        ),
    ] = None,
    size: Annotated[
        bool, typer.Option("--size", help="Also find the pool that each policy needs.")
    ] = False,
    assume: Annotated[
        Path | None, typer.Option(help="JSON file: how fast engines and swaps are.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Write plots into this folder.")] = None,
) -> None:
    """Replay a trace against a modelled pool: the planner beside other policies.

    A trace has the columns arrival_s, model, input_tokens, output_tokens and class.
    Nothing that runs is touched.
    """
    from benchmarks.figures import BenchmarkResult
    from benchmarks.machine import describe_machine, describe_versions
    from benchmarks.report import show, write_json
    from simulation.setting import Assumptions, read_assumptions
    from simulation.study import Study
    from simulation.trace import read_trace

    assumed = Assumptions() if assume is None else read_assumptions(assume)
    study = Study(read_trace(trace), assumed)
    pool = hosts or study.default_hosts()
    rows = _compare(study, pool, plots)
    if size:
        rows += _size(study, trace.name.partition(".")[0])
    result = BenchmarkResult(
        f"simulate, {trace.name}, {pool} hosts", describe_machine(), describe_versions(), rows
    )
    show(result, console())
    if json is not None:
        write_json(result, json)


def _compare(study: "Study", hosts: int, plots: Path | None) -> "list[Row]":
    from simulation.plots import write_plots
    from simulation.rows import compared

    hours = study.trace.duration_s / 3600
    found = {}
    for name, make in study.policies().items():
        found[name] = study.attained(make(hosts), hosts)
        console().print(f"[dim]{name}: {found[name].interactive:.4f} attained[/]")
    if plots is not None:
        write_plots(found, hosts, hours, plots)
    return compared(found, hours)


def _size(study: "Study", trace: str) -> "list[Row]":
    from simulation.rows import sized

    peak = study.engines_pinned_to_the_peak()
    engines = {name: study.engines_for(make, 2 * peak) for name, make in study.policies().items()}
    return sized(engines, peak, trace)

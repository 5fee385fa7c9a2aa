"""One picture of a run: where the time went, what memory did, how rows came in over the kills."""

from pathlib import Path
from typing import Any

from benchmarks.batch.kill_plan import VICTIMS
from benchmarks.batch.samples import BatchSamples, SurvivalSamples

_COLORS = {"run worker": "#c06014", "gateway": "#1f6f8b", "host": "#8c5a9c"}
_GIB = 1024**3
_ROOM_FOR_LEGEND = 1.4


def write_plots(samples: BatchSamples, folder: Path) -> Path:
    """Write `batch.png` into `folder`; its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(1, 4)
    _times(figure.add_subplot(grid[0]), samples)
    _memory(figure.add_subplot(grid[1]), samples)
    _kills(figure.add_subplot(grid[2:]), samples.survival)
    path = folder / "batch.png"
    figure.savefig(path, dpi=120)
    return path


def _times(axes: Any, samples: BatchSamples) -> None:
    """A bar a run of the file: before its requests, with them, after them."""
    bars = [("vLLM alone", (0.0, run.seconds, 0.0)) for run in samples.offline]
    for name, runs in (("one host", samples.one_host), ("two hosts", samples.two_hosts)):
        bars += [
            (
                name,
                (
                    run.first_at - run.began_at,
                    run.last_at - run.first_at,
                    run.completed_at - run.last_at,
                ),
            )
            for run in runs
        ]
    below = [0.0] * len(bars)
    parts = ("to the first request", "requests", "to completed")
    for place, (part, color) in enumerate(
        zip(parts, ("#c06014", "#1f6f8b", "#7a9e3a"), strict=True)
    ):
        taken_s = [times[place] for _, times in bars]
        axes.bar(range(len(bars)), taken_s, bottom=below, label=part, color=color)
        below = [under + taken for under, taken in zip(below, taken_s, strict=True)]
    axes.set_xticks(range(len(bars)), [name for name, _ in bars], rotation=30, fontsize=8)
    axes.set_ylim(0, _ROOM_FOR_LEGEND * max(below, default=1.0))
    _finish(axes, "the same number of tokens, s")


def _memory(axes: Any, samples: BatchSamples) -> None:
    """Peaks of the gateway and the run, side by side for the two files."""
    for place, run in enumerate(samples.scale):
        names = sorted(run.peak_bytes)
        places = [spot + 0.4 * place for spot in range(len(names))]
        heights = [run.peak_bytes[name] / _GIB for name in names]
        axes.bar(places, heights, width=0.38, label=f"{run.lines:,} lines")
        axes.set_xticks([spot + 0.2 for spot in range(len(names))], names)
    _finish(axes, "peak memory, GiB")


def _kills(axes: Any, found: SurvivalSamples) -> None:
    """Rows done over time, with a line for every kill."""
    start = found.progress[0][0] if found.progress else 0.0
    axes.step(
        [at - start for at, _ in found.progress],
        [done for _, done in found.progress],
        where="post",
        color="#444444",
    )
    for victim in VICTIMS:
        moments = [kill.at - start for kill in found.kills if kill.victim == victim]
        for place, at in enumerate(moments):
            axes.axvline(
                at, color=_COLORS[victim], lw=1, label=f"{victim} killed" if not place else None
            )
    axes.set_xlabel("s")
    _finish(axes, "rows done over the kills")


def _finish(axes: Any, title: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False)

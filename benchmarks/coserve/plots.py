"""One picture a run: how interactive work fared in each arm, and what batch work got meanwhile."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.coserve.samples import ArmSamples, CoserveSamples, SizeSamples
from benchmarks.coserve.segment import Segment
from benchmarks.streams import Stream

_ARMS = ("alone", "stock", "ours")
_COLORS = {"alone": "#7a9e3a", "stock": "#c06014", "ours": "#1f6f8b", "batch alone": "#999999"}
_LABELS = {"stock": "stock, priority"}
_BIN_S = 0.5


def write_plots(samples: CoserveSamples, folder: Path) -> Path:
    """Write `coserve.png` into `folder`; its path. A row of axes a size."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 4.2 * len(samples.sizes)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(len(samples.sizes), 5)
    for place, (name, size) in enumerate(samples.sizes.items()):
        latencies = [figure.add_subplot(grid[place, column]) for column in range(3)]
        _cdf(latencies[0], f"{name}: TTFT, ms", size, ArmSamples.ttfts_s)
        _cdf(latencies[1], f"{name}: TPOT, ms", size, ArmSamples.tpots_s)
        _cdf(latencies[2], f"{name}: longest gap, ms", size, ArmSamples.longest_gaps_s)
        _time_line(figure.add_subplot(grid[place, 3:]), name, size, samples.batch_alone)
    path = folder / "coserve.png"
    figure.savefig(path, dpi=110)
    return path


def _cdf(
    axes: Any, title: str, size: SizeSamples, values: Callable[[ArmSamples], list[float]]
) -> None:
    """Share of requests at or below a value, one line an arm."""
    for arm in _ARMS:
        found = sorted(1000 * value for value in values(getattr(size, arm)))
        shares = [(place + 1) / len(found) for place in range(len(found))]
        axes.step(found, shares, where="post", color=_COLORS[arm], label=_LABELS.get(arm, arm))
    axes.set_xscale("log")
    _readable_ticks(axes)
    axes.set_title(title, fontsize=10)
    axes.set_ylim(0, 1.02)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)


def _readable_ticks(axes: Any) -> None:
    """Plain numbers, few enough to stand beside each other, over a range that has some of them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.get_xlim()
    middle = (low * high) ** 0.5
    low, high = min(low, middle / 2), max(high, middle * 2)
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5) if high < 10 * low else (1, 3)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _time_line(axes: Any, name: str, size: SizeSamples, batch_alone: ArmSamples) -> None:
    """Batch tokens per second in an arm's last round; shaded where ours had interactive work."""
    arms = {"batch alone": batch_alone, "stock": size.stock, "ours": size.ours}
    for arm, found in arms.items():
        for segment in found.segments[-1:]:
            times, rates = _rates(segment)
            axes.step(times, rates, where="post", color=_COLORS[arm], label=_LABELS.get(arm, arm))
    for segment in size.ours.segments[-1:]:
        for stream in segment.interactive:
            began, ended = _span(stream, segment)
            axes.axvspan(began, ended, color=_COLORS["ours"], alpha=0.07, lw=0)
    axes.set_title(f"{name}: batch tokens/s over time (s), shaded: interactive", fontsize=10)
    axes.set_ylim(0, 1.15 * axes.get_ylim()[1])
    axes.set_xlim(0, max((segment.window_s for segment in size.ours.segments), default=1))
    axes.legend(fontsize=8, frameon=False, loc="upper right", ncols=3)
    axes.spines[["top", "right"]].set_visible(False)


def _span(stream: Stream, segment: Segment) -> tuple[float, float]:
    ended = stream.asked_at if stream.ended_at is None else stream.ended_at
    return stream.asked_at - segment.began, ended - segment.began


def _rates(segment: Segment) -> tuple[Sequence[float], Sequence[float]]:
    bins = range(int(segment.window_s / _BIN_S))
    began = [segment.began + _BIN_S * number for number in bins]
    tokens = [
        sum(stream.tokens_between(at, at + _BIN_S) for stream in segment.batch) for at in began
    ]
    return [_BIN_S * number for number in bins], [count / _BIN_S for count in tokens]

"""The picture of a batch-size profile: throughput, TPOT and TTFT over batch size."""

import io
from collections.abc import Sequence
from typing import Any

from orchestration.profiling.figures import SizeFigures
from serving.config import ServiceLevels

_MEDIAN, _TAIL, _LEVEL = "#1f6f8b", "#7fb2c4", "#c06014"


def draw(figures: Sequence[SizeFigures], levels: ServiceLevels) -> bytes:
    """The picture, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    throughput, tpot, ttft = figure.subplots(1, 3)
    _axes(throughput, "output, tokens/s", figures)
    _line(throughput, figures, [one.tokens_per_s for one in figures], _MEDIAN, "all generations")
    _axes(tpot, "TPOT, ms", figures)
    _line(tpot, figures, [one.tpot_p99_s * 1000 for one in figures], _TAIL, "p99")
    _line(tpot, figures, [one.tpot_p50_s * 1000 for one in figures], _MEDIAN, "p50")
    _level(tpot, levels.tpot_s * 1000)
    _axes(ttft, "TTFT of the last to come, ms", figures)
    _line(ttft, figures, [one.ttft_p99_s * 1000 for one in figures], _TAIL, "p99")
    _line(ttft, figures, [one.ttft_p50_s * 1000 for one in figures], _MEDIAN, "p50")
    _level(ttft, levels.ttft_s * 1000)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=100, format="png")
    return picture.getvalue()


def _axes(axes: Any, title: str, figures: Sequence[SizeFigures]) -> None:
    sizes = [one.batch_size for one in figures]
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("batch size", fontsize=9)
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def _line(
    axes: Any, figures: Sequence[SizeFigures], values: Sequence[float], color: str, label: str
) -> None:
    sizes = [one.batch_size for one in figures]
    axes.plot(sizes, values, "o-", color=color, label=label, markersize=4)
    axes.set_ylim(bottom=0, top=max(axes.get_ylim()[1], 1.1 * max(values)))
    axes.legend(fontsize=8, frameon=False)


def _level(axes: Any, level_ms: float) -> None:
    """The service level, where the picture reaches that far."""
    if level_ms <= axes.get_ylim()[1]:
        axes.axhline(level_ms, color=_LEVEL, linestyle="--", linewidth=1, label="service level")
        axes.legend(fontsize=8, frameon=False)

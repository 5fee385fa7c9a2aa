"""One picture of a run: every sample as a dot, so that the spread is seen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.loop.chat_load import STREAMS
from benchmarks.loop.samples import ChatSamples, LoopSamples

_COLORS = {"turntable": "#1f6f8b", "stock": "#c06014", "shift": "#1f6f8b", "hotswap": "#7a9e3a"}


def write_plots(samples: LoopSamples, folder: Path) -> Path:
    """Write `loop.png` into `folder`; its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    start, shift, ttft, rate = figure.subplots(1, 4)
    arms = {"turntable": samples.turntable, "stock": samples.stock}
    _dots(start, "start to first token, s", {n: a.first_token_s for n, a in arms.items()})
    _dots(
        shift,
        "traffic shift, s",
        {
            "shift": [s.first_token_s for s in samples.shifts],
            "hotswap": [s.timeline.parts.hotswap_s for s in samples.shifts],
        },
    )
    _dots(ttft, f"TTFT, {STREAMS} streams, s", {n: _ttft_s(a) for n, a in arms.items()})
    _dots(
        rate,
        f"output, {STREAMS} streams, tokens/s",
        {n: [load.tokens_per_s for load in a.side_by_side] for n, a in arms.items()},
    )
    path = folder / "loop.png"
    figure.savefig(path, dpi=130)
    return path


def _ttft_s(arm: ChatSamples) -> list[float]:
    return [answer.ttft_s for load in arm.side_by_side for answer in load.answers]


def _dots(axes: Any, title: str, groups: Mapping[str, Sequence[float]]) -> None:
    for position, (name, values) in enumerate(groups.items()):
        axes.plot([position] * len(values), values, "o", color=_COLORS[name], alpha=0.6)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.set_xlim(-0.6, len(groups) - 0.4)
    axes.margins(y=0.1)
    axes.set_ylim(bottom=0)
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)

"""The picture of a run: rows done and output tokens a second over time."""

import io
from collections.abc import Sequence
from itertools import pairwise

from orchestration.batch.progress import Point

_LINE, _FILL = "#1f6f8b", "#7fb2c4"


def draw(curve: Sequence[Point], rows: int, unit: str = "lines") -> bytes:
    """The picture, as PNG. `unit`: what rows are called."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 2.8), layout="constrained")
    FigureCanvasAgg(figure)
    done, rate = figure.subplots(1, 2)
    done.plot([p.seconds for p in curve], [p.rows for p in curve], color=_LINE)
    done.set_ylim(0, max(rows, 1) * 1.05)
    done.yaxis.set_major_locator(MaxNLocator(integer=True))
    done.set_title(f"{unit} done", fontsize=10)
    spans = [(a, b) for a, b in pairwise(curve) if b.seconds > a.seconds]
    speeds = [
        (b.completion_tokens - a.completion_tokens) / (b.seconds - a.seconds) for a, b in spans
    ]
    if spans:
        edges = [spans[0][0].seconds, *(b.seconds for _, b in spans)]
        rate.stairs(speeds, edges, fill=True, color=_FILL)
    rate.set_ylim(bottom=0)
    rate.set_title(f"output of {unit} that ended, tokens/s", fontsize=10)
    for axes in (done, rate):
        axes.set_xlabel("seconds", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=90, format="png")
    return picture.getvalue()

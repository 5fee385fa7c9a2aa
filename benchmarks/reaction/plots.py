"""One picture of a run: every burst as a bar, made of its parts."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.plots import stacked_parts
from benchmarks.reaction.samples import Reaction


def write_plots(reactions: Sequence[Reaction], folder: Path) -> Path:
    """Write `reaction.png` into `folder`; its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    after_s = [each.after_hotswap_s for each in reactions]
    parts = [each.timeline.parts for each in reactions]
    stacked_parts(axes, parts, {"first token": after_s})
    axes.set_xlabel("burst")
    axes.set_title("burst for a model without a replica, to its first token", fontsize=10)
    path = folder / "reaction.png"
    figure.savefig(path, dpi=130)
    return path

"""One picture of a run: every burst as a bar, made of its parts."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.reaction.samples import Reaction
from benchmarks.timeline import PART_NAMES

_COLORS = ("#c06014", "#1f6f8b", "#7a9e3a", "#8c5a9c", "#444444", "#bbbbbb")


def write_plots(reactions: Sequence[Reaction], folder: Path) -> Path:
    """Write `reaction.png` into `folder`; its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    places = range(1, len(reactions) + 1)
    parts = {
        called: [getattr(each.timeline.parts, name) for each in reactions]
        for name, called in PART_NAMES.items()
    }
    parts["first token"] = [each.after_hotswap_s for each in reactions]
    below = [0.0] * len(reactions)
    for (called, taken_s), color in zip(parts.items(), _COLORS, strict=True):
        axes.bar(places, taken_s, bottom=below, label=called, color=color, width=0.8)
        below = [under + part for under, part in zip(below, taken_s, strict=True)]
    axes.set_xticks(places)
    axes.set_xlabel("burst")
    axes.set_ylabel("s")
    axes.set_title("burst for a model without a replica, to its first token", fontsize=10)
    axes.legend(fontsize=8, ncols=3)
    axes.spines[["top", "right"]].set_visible(False)
    path = folder / "reaction.png"
    figure.savefig(path, dpi=130)
    return path

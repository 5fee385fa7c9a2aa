"""Drawing the parts of timelines, the same in every benchmark that has them."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.timeline import PART_NAMES, Parts

_COLORS = ("#c06014", "#1f6f8b", "#7a9e3a", "#8c5a9c", "#444444", "#bbbbbb")


def stacked_parts(axes: Any, parts: Sequence[Parts], more: Mapping[str, Sequence[float]]) -> None:
    """A bar for each timeline, its parts in their order and those of `more` above them."""
    layers: dict[str, Sequence[float]] = {}
    for name, called in PART_NAMES.items():
        layers[called] = [getattr(each, name) for each in parts]
    layers.update(more)
    below = [0.0] * len(parts)
    places = range(1, len(parts) + 1)
    for (called, taken_s), color in zip(layers.items(), _COLORS, strict=False):
        axes.bar(places, taken_s, bottom=below, label=called, color=color)
        below = [under + part for under, part in zip(below, taken_s, strict=True)]
    axes.set_xticks(places)
    axes.set_ylabel("s")
    axes.legend(fontsize=8, ncols=3)
    axes.spines[["top", "right"]].set_visible(False)

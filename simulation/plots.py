"""One picture of a study: attainment of every policy, and what it cost in swaps."""

from collections.abc import Mapping
from pathlib import Path

from simulation.attainment import Attainment


def write_plots(found: Mapping[str, Attainment], hosts: int, hours: float, folder: Path) -> Path:
    """Write `simulate.png` into `folder`; its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(11, 0.5 * len(found) + 1.6), layout="constrained")
    FigureCanvasAgg(figure)
    attained, busy, swaps = figure.subplots(1, 3, sharey=True)
    names = list(found)
    colors = ["#1f6f8b" if name == "turntable" else "#b9b3a6" for name in names]
    figures = list(found.values())
    attained.barh(names, [each.interactive for each in figures], color=colors)
    attained.set_xlim(0, 1.12)
    for place, each in enumerate(figures):
        attained.text(each.interactive + 0.01, place, f"{each.interactive:.3f}", va="center")
    attained.set_title(f"interactive attainment, {hosts} hosts", fontsize=10)
    busy.barh(names, [each.utilisation for each in figures], color=colors)
    busy.set_title("utilisation", fontsize=10)
    swaps.barh(names, [each.swaps / hours if hours else 0 for each in figures], color=colors)
    swaps.set_title("swaps an hour", fontsize=10)
    attained.invert_yaxis()
    for axes in (attained, busy, swaps):
        axes.spines[["top", "right"]].set_visible(False)
    path = folder / "simulate.png"
    figure.savefig(path, dpi=130)
    return path

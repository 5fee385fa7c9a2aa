"""One picture of a run: times to first token and per token, real beside predicted."""

from pathlib import Path
from typing import Any

from benchmarks.calibration.rows import Outcome

_COLORS = {"real": "#1f6f8b", "predicted": "#c06014"}


def write_plots(real: Outcome, predicted: Outcome, folder: Path) -> Path:
    """Write `calibration.png` into `folder`; its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    over_time, first, per_token = figure.subplots(1, 3)
    for name, outcome in {"real": real, "predicted": predicted}.items():
        found = [each for each in outcome.answered if not each.batch]
        color = _COLORS[name]
        over_time.plot(
            [each.arrived_s for each in found],
            [each.ttft_s for each in found],
            "o",
            ms=3,
            alpha=0.6,
            color=color,
            label=name,
        )
        _shares(first, [each.ttft_s for each in found], color)
        _shares(per_token, [each.tpot_s for each in found], color)
    over_time.set_title("TTFT by arrival, s", fontsize=10)
    over_time.legend(fontsize=8)
    first.set_title("share of requests by TTFT, s", fontsize=10)
    per_token.set_title("share of requests by TPOT, s", fontsize=10)
    for axes in (over_time, first, per_token):
        axes.spines[["top", "right"]].set_visible(False)
    path = folder / "calibration.png"
    figure.savefig(path, dpi=130)
    return path


def _shares(axes: Any, values: list[float], color: str) -> None:
    ordered = sorted(values)
    axes.step(ordered, [(n + 1) / len(ordered) for n in range(len(ordered))], color=color)

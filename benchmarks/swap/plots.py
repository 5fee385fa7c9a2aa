"""Two pictures of a run: cost by tier over size, and the swaps in a row."""

from pathlib import Path

from benchmarks.swap.samples import SwapSamples
from serving.wire import Tier

_COLORS: dict[Tier, str] = {"disk": "#c06014", "parked": "#7a9e3a", "asleep": "#1f6f8b"}


def write_plots(samples: SwapSamples, folder: Path) -> Path:
    """Write `swap.png` into `folder`; its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    sizes, row = figure.subplots(1, 2)
    for tier, color in _COLORS.items():
        points = sorted(
            (s.weights_bytes / 1e9, s.first_token_s) for s in samples.sizes if s.from_tier == tier
        )
        sizes.plot(
            [size for size, _ in points],
            [took_s for _, took_s in points],
            "o-",
            color=color,
            label=f"from {tier}",
        )
    sizes.set(title="swap to random weights, command to first token, s", xlabel="GB of weights")
    sizes.set(xscale="log", yscale="log")
    sizes.legend(frameon=False)
    row.plot(samples.cycles.swap_s, ".", color=_COLORS["asleep"])
    row.set(title="swaps in a row, s", xlabel="swap", ylim=(0, None))
    for axes in (sizes, row):
        axes.spines[["top", "right"]].set_visible(False)
    path = folder / "swap.png"
    figure.savefig(path, dpi=130)
    return path

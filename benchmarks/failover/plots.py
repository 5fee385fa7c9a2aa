"""One picture of a run: every kill as a bar made of its parts, and the silence of the streams."""

from pathlib import Path

from benchmarks.failover.samples import FailoverSamples
from benchmarks.plots import stacked_parts


def write_plots(samples: FailoverSamples, folder: Path) -> Path:
    """Write `failover.png` into `folder`; its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    bars, silence = figure.subplots(1, 2)
    stacked_parts(bars, [each.timeline.parts for each in samples.failovers], {})
    bars.set_xlabel("kill")
    bars.set_title("kill to minimum replicas back, s", fontsize=10)
    silence.hist(samples.gaps_s, bins=20, color="#1f6f8b")
    silence.set_title("silence of streams over a kill, s", fontsize=10)
    silence.spines[["top", "right"]].set_visible(False)
    path = folder / "failover.png"
    figure.savefig(path, dpi=130)
    return path

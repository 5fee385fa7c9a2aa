"""`python -m benchmarks.forecast TRACE...`: a table for every horizon, in Markdown."""

import sys
from pathlib import Path

from analytics.forecast.track_record import HORIZONS_S
from benchmarks.forecast.arms import arms
from benchmarks.forecast.counted import buckets_of
from benchmarks.forecast.scores import Score, scored
from simulation.trace import read_trace

COLUMNS = "| trace | horizon | forecast | pinball loss | below 90 % | below 99 % | bias |"


def main(paths: list[Path]) -> None:
    """Score every arm on every trace."""
    print(COLUMNS)
    print("|---|---|---|---|---|---|---|")
    for path in paths:
        trace = read_trace(path)
        told, true = buckets_of(trace)
        for name, make in arms(2 * len(trace.models)).items():
            for horizon_s, score in zip(HORIZONS_S, scored(make(), told, true), strict=True):
                if score is not None:
                    print(_line(path.name.partition(".")[0], horizon_s, name, score), flush=True)


def _line(trace: str, horizon_s: float, name: str, score: Score) -> str:
    return (
        f"| {trace} | {horizon_s:g} s | {name} | {score.pinball:.3f} | {score.below_90:.3f} "
        f"| {score.below_99:.3f} | {score.bias:.2f} |"
    )


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])

"""Timing the planner on made worlds."""

import time
from dataclasses import dataclass

from benchmarks.plan.world import World, worlds
from orchestration.allocation import propose

REPEATS = 3


@dataclass(frozen=True)
class Size:
    """How large a fleet is, and how long its plan may take."""

    hosts: int
    models: int
    limit_s: float | None = None


@dataclass(frozen=True)
class Timed:
    """One situation: the median time of its plan, and how many hosts that moves."""

    situation: str
    seconds: float
    moves: int


SIZES = (
    Size(16, 44),
    Size(1_000, 50, limit_s=0.2),
    Size(10_000, 100, limit_s=3.0),
)


def measure_size(size: Size) -> list[Timed]:
    """Every situation of one size. The solver's import is not counted: it happens once."""
    import scipy.optimize  # noqa: F401

    return [
        _time(situation, world) for situation, world in worlds(hosts=size.hosts, models=size.models)
    ]


def _time(situation: str, world: World) -> Timed:
    took, moves = [], 0
    for _ in range(REPEATS):
        started = time.perf_counter()
        plan = propose(world.fleet, world.states, world.traffic, now=0.0)
        took.append(time.perf_counter() - started)
        moves = len(plan.moves)
    return Timed(situation, sorted(took)[REPEATS // 2], moves)

"""The rows of the planner's benchmark. Pure."""

from collections.abc import Sequence

from benchmarks.figures import Row, Target
from benchmarks.plan.timing import Size, Timed


def rows_of(size: Size, timed: Sequence[Timed]) -> list[Row]:
    """Every situation, then the slowest against the limit."""
    name = f"plan for {size.hosts} hosts and {size.models} models"
    rows = [
        row
        for one in timed
        for row in (
            Row(f"{name}, {one.situation}", one.seconds, "s"),
            Row(f"{name}, {one.situation}: moves", float(one.moves), "hosts"),
        )
    ]
    target = None if size.limit_s is None else Target("<=", size.limit_s)
    slowest = max(one.seconds for one in timed)
    return [*rows, Row(f"{name}, slowest situation", slowest, "s", target)]

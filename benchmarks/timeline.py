"""What lay between a cause and the hotswap that answered it, from recorded times.

The traffic store has the hotswap and its plan, Dagster the run that made the plan. Processes of one
machine share its clock, so their times can be compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from analytics.traffic import TrafficReader
from benchmarks.figures import Row
from benchmarks.instance import Instance
from benchmarks.statistics import median, quantile

RECORDED_LIMIT_S = 60.0

_SWAP = """
SELECT s.host, s.from_tier, s.ended_at, s.total_s, p.made_at, p.run_id
FROM swaps s JOIN plans p USING (plan_id)
WHERE s.to_model = $model AND s.outcome = 'committed' AND p.made_at > $since
ORDER BY s.ended_at LIMIT 1
"""
_RUN = """query ($run: ID!) {
  runOrError(runId: $run) { ... on Run { creationTime startTime } } }"""


class Parts(NamedTuple):
    """How long each part took, in the order in which they come."""

    sensor_s: float
    """From the cause to the run's creation: event or long poll, store, sensor, planner."""
    run_start_s: float
    """From there until the run has begun in its own process."""
    plan_s: float
    """From there until its op has seen the fleet and planned."""
    op_s: float
    """From there until the host has begun the hotswap."""
    hotswap_s: float

    @property
    def total_s(self) -> float:
        """From the cause to the end of the hotswap."""
        return sum(self)

    def __str__(self) -> str:
        return ", ".join(
            f"{called} {taken_s:.2f}"
            for called, taken_s in zip(PART_NAMES.values(), self, strict=True)
        )


PART_NAMES = {
    "sensor_s": "sensor",
    "run_start_s": "run start",
    "plan_s": "plan",
    "op_s": "op",
    "hotswap_s": "hotswap",
}
"""What the parts are called in figures and plots."""


@dataclass(frozen=True)
class Timeline:
    """One hotswap that an allocation run made, and the moments that led to it.

    Times are seconds since the epoch.
    """

    model: str
    host: str
    from_tier: str
    caused_at: float
    asked_at: float
    """The run was created."""
    started_at: float
    planned_at: float
    swap_began_at: float
    swapped_at: float

    @property
    def parts(self) -> Parts:
        """The times between the moments."""
        return Parts(
            sensor_s=self.asked_at - self.caused_at,
            run_start_s=self.started_at - self.asked_at,
            plan_s=self.planned_at - self.started_at,
            op_s=self.swap_began_at - self.planned_at,
            hotswap_s=self.swapped_at - self.swap_began_at,
        )


def read_timeline(
    instance: Instance, reader: TrafficReader, model: str, caused_at: float
) -> Timeline:
    """The first hotswap to `model` that was planned after `caused_at`, once it is recorded."""

    def recorded() -> dict[str, Any] | None:
        rows = reader.query(_SWAP, {"model": model, "since": caused_at}).to_dicts()
        return rows[0] if rows else None

    what = f"the planned hotswap to {model} in the store"
    swap = instance.until(recorded, what, limit_s=RECORDED_LIMIT_S)
    run = _run(instance, swap["run_id"])
    return Timeline(
        model=model,
        host=swap["host"],
        from_tier=swap["from_tier"],
        caused_at=caused_at,
        asked_at=run["creationTime"],
        started_at=run["startTime"],
        planned_at=swap["made_at"],
        swap_began_at=swap["ended_at"] - swap["total_s"],
        swapped_at=swap["ended_at"],
    )


def run_created_at(instance: Instance, run_id: str) -> float:
    """When a run was created, in seconds since the epoch."""
    return _run(instance, run_id)["creationTime"]


def _run(instance: Instance, run_id: str) -> dict[str, float]:
    times: dict[str, float] = instance.graphql(_RUN, run=run_id)["runOrError"]
    return times


def part_rows(what: str, parts: Sequence[Parts]) -> list[Row]:
    """Two rows a part: its middle, and where it is slow."""
    rows = []
    for name, called in PART_NAMES.items():
        taken_s = [getattr(each, name) for each in parts]
        rows.append(Row(f"{what}, {called}, p50", median(taken_s), "s"))
        rows.append(Row(f"{what}, {called}, p95", quantile(taken_s, 0.95), "s"))
    return rows

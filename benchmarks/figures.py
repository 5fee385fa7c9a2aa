"""What a benchmark finds: rows of figures, some with a target, and their JSON form."""

import math
from typing import Any, Literal

import msgspec


class Target(msgspec.Struct, frozen=True):
    """A bound that a figure should keep."""

    comparison: Literal["<=", ">="]
    bound: float

    def met_by(self, value: float) -> bool:
        """Whether `value` keeps the bound. A value that is no number never does."""
        return value <= self.bound if self.comparison == "<=" else value >= self.bound

    def __str__(self) -> str:
        return f"{self.comparison} {self.bound:g}"


class Row(msgspec.Struct, frozen=True):
    """One figure. Without a target there is nothing to meet."""

    figure: str
    value: float
    unit: str
    target: Target | None = None
    impossible: str | None = None
    """Why this machine cannot give a value; then the target is neither met nor missed."""

    @property
    def met(self) -> bool | None:
        """Whether the target was met; None without one, or where it cannot be measured."""
        if self.target is None or self.impossible is not None:
            return None
        return self.target.met_by(self.value)

    def as_json(self) -> dict[str, Any]:
        """The row as written to a file; a value that is no number is null."""
        row = {
            "figure": self.figure,
            "value": self.value if math.isfinite(self.value) else None,
            "unit": self.unit,
            "target": None if self.target is None else str(self.target),
            "met": self.met,
        }
        return row if self.impossible is None else row | {"impossible": self.impossible}


class BenchmarkResult(msgspec.Struct, frozen=True):
    """All a run of a benchmark found, and on what."""

    bench: str
    machine: dict[str, Any]
    versions: dict[str, str]
    rows: list[Row]

    def as_json(self) -> dict[str, Any]:
        """The result as written to a file."""
        return {
            "bench": self.bench,
            "machine": self.machine,
            "versions": self.versions,
            "rows": [row.as_json() for row in self.rows],
        }

"""Benchmarks: each compares its arms within one run and says which targets were met.

`run` is what the command line calls. A benchmark is a function from its `Setting` to rows; it is
registered by name in `benchmarks.registry`.
"""

from benchmarks.figures import BenchmarkResult, Row, Target
from benchmarks.registry import names, run
from benchmarks.setting import BenchmarkUnable, Setting

__all__ = ["BenchmarkResult", "BenchmarkUnable", "Row", "Setting", "Target", "names", "run"]

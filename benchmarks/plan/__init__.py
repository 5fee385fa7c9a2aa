"""`turntable bench plan`: how long the planner takes for large fleets.

The whole decision is timed (demand, capacity, worth, exchange, assignment, reasons), from host
states and traffic rows to a plan. No host is started.
"""

from benchmarks.figures import Row
from benchmarks.plan.rows import rows_of
from benchmarks.plan.timing import SIZES, measure_size
from benchmarks.setting import Setting


def measure(setting: Setting) -> list[Row]:
    """The rows of figures for every size."""
    rows = []
    for size in SIZES:
        setting.say(f"{size.hosts} hosts, {size.models} models")
        rows += rows_of(size, measure_size(size))
    return rows

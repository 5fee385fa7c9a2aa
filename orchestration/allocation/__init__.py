"""The allocation decision: which model each engine host should have awake, and why.

Nothing here knows Dagster. The decision (`propose`) is pure and importing it is cheap; reading
the fleet and the traffic (`snapshot`, `watch`) and keeping the last plan (`record`) are modules
of their own.
"""

from orchestration.allocation.load.demand import ModelDemand, offered_work
from orchestration.allocation.plan import Move, Plan
from orchestration.allocation.planner import propose

__all__ = ["ModelDemand", "Move", "Plan", "offered_work", "propose"]

"""The benchmark's fleet: one model that must always be there, one that uses what is left. Pure.

Both hosts begin with the second model, so a host that comes back does not bring the first one with
it: whoever serves the first one got it from the control plane.
"""

from benchmarks.fleets import bounded, require_models, whole_fleet
from serving.config import Fleet, ModelSettings


def failover_fleet(fleet: Fleet) -> Fleet:
    """The fleet to measure. Raises BenchmarkUnable if `fleet` has too few hosts or models."""
    require_models(fleet, 2)
    kept, other = bounded(fleet.models[0], 1, 1), bounded(fleet.models[1], 0, 2)
    return whole_fleet(fleet, [kept, other], [other, other])


def kept_model(fleet: Fleet) -> ModelSettings:
    """The model whose minimum is one replica."""
    return fleet.models[0]


def other_model(fleet: Fleet) -> ModelSettings:
    """The model that may go without."""
    return fleet.models[1]

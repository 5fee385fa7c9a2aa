"""The benchmark's fleet: the user's first model under several names, on two hosts. Pure.

Models that are alike make one kind of engine, which is what the simulator models.
"""

from benchmarks.fleets import bounded, whole_fleet
from serving.config import Fleet

TENANTS = 4
_HOST_GIB = 8.0
"""Room for every tenant asleep."""


def calibration_fleet(fleet: Fleet) -> Fleet:
    """The fleet to measure and to model; its hosts share time if those of `fleet` do.

    Raises BenchmarkUnable if `fleet` has too few hosts.
    """
    first = bounded(fleet.models[0], 0, 1)
    tenants = [
        first.model_copy(update={"name": f"{first.name}-{number}"}) for number in range(TENANTS)
    ]
    sharing = fleet.allocation.time_sharing
    small = whole_fleet(fleet, tenants, tenants[:2], time_sharing=sharing)
    roomy = [host.model_copy(update={"host_memory_gib": _HOST_GIB}) for host in small.hosts]
    return small.model_copy(update={"hosts": roomy})

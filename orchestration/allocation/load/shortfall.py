"""Shortfall: the work that comes beyond what a number of replicas does within the service levels.

A replica's capacity is what it does at the largest batch within the service levels, so load beyond
the capacity is late: the shortfall is the rate of expected violations, in replicas' worth of work.
How much is in service at one instant, were there enough replicas, is that of an infinite-server
queue (M/G/inf: Poisson whatever the lengths of requests), its variance that of the arrivals in
flight plus that of the forecast ("modified offered load" staffing: Jennings, Mandelbaum, Massey and
Whitt, "Server staffing to meet time-varying demand", Management Science 42, 1996). Taken as
log-normal (never negative, skewed as bursts are), its expectation above n has a closed form. It is
convex in n, so that giving replicas one by one to the largest decrease is optimal (Fox, "Discrete
optimization via marginal analysis", Management Science 13, 1966). Pure.
"""

import math

NEGLIGIBLE = 1e-6
"""Load, in replicas, that is none."""

_SQRT_2 = math.sqrt(2.0)


def spread(load: float, *, concurrency: float, forecast_sd: float = 0.0) -> float:
    """Standard deviation of the load at one instant, in replicas.

    A replica serves `concurrency` requests at once at its capacity.
    """
    return math.sqrt(load / concurrency + forecast_sd**2)


def shortfall(load: float, sd: float, replicas: float) -> float:
    """Expected load beyond `replicas`, all in replicas; `load` itself with none."""
    if replicas <= 0:
        return load
    if load < NEGLIGIBLE:
        return 0.0
    width = math.sqrt(math.log1p((sd / load) ** 2))
    if width < 1e-9:
        return max(0.0, load - replicas)
    above = math.log(load / replicas) / width + width / 2
    return max(0.0, load * _normal(above) - replicas * _normal(above - width))


def enough(load: float, sd: float) -> int:
    """Replicas beyond which one more avoids nothing worth speaking of."""
    return math.ceil(load + 3.0 * sd) if load >= NEGLIGIBLE else 0


def _normal(x: float) -> float:
    """The standard normal distribution function."""
    return 0.5 * math.erfc(-x / _SQRT_2)

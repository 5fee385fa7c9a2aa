"""A bucket: what one short stretch of time brought, for every flow.

A flow is the traffic of one model and one class; it is known by its place in the arrays. Data only.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BUCKET_S = 5.0
"""Length of a bucket: the step in which averages and forecasts move."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LoadBucket:
    """One bucket; arrays with one value a flow."""

    start_s: float
    arrivals: Floats
    """Requests that arrived."""
    ended: Floats
    """Requests that ended with tokens."""
    tokens: Floats
    """Prompt and output tokens of those."""
    squared_tokens: Floats
    """The sum of the squares of each one's tokens."""
    busy_s: Floats
    """How long at least one request was present."""
    concurrency: Floats
    """The most requests that were present at once."""


def empty_bucket(start_s: float, flows: int) -> LoadBucket:
    """A bucket in which nothing came."""
    nothing = np.zeros(flows)
    return LoadBucket(start_s, nothing, nothing, nothing, nothing, nothing, nothing)

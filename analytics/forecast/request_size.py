"""Request sizes: how many tokens a request of a flow has, and how much they differ.

Requests count when they end, since nobody knows their output before. A flow with few ended
requests is taken to be like all flows together, and these, at first, like an assumed request.
"""

import math

import numpy as np

from analytics.forecast.bucket import BUCKET_S, Floats, LoadBucket

MEMORY_S = 1800.0
ASSUMED_TOKENS = 256.0
"""A request's tokens while none has ended."""


class RequestSizes:
    """Fading counts of ended requests and their tokens."""

    def __init__(self, flows: int, *, assumed_tokens: float = ASSUMED_TOKENS) -> None:
        self._assumed_tokens = assumed_tokens
        self._ended = np.zeros(flows)
        self._tokens = np.zeros(flows)
        self._squared = np.zeros(flows)

    def add(self, bucket: LoadBucket) -> None:
        """One bucket more."""
        self.skip(BUCKET_S)
        self._ended += bucket.ended
        self._tokens += bucket.tokens
        self._squared += bucket.squared_tokens

    def skip(self, seconds: float) -> None:
        """A stretch that nobody observed."""
        fade = math.exp(-seconds / MEMORY_S)
        self._ended *= fade
        self._tokens *= fade
        self._squared *= fade

    def mean_and_variance(self) -> tuple[Floats, Floats]:
        """Tokens of one request of each flow."""
        assumed = self._assumed_tokens
        ended = float(self._ended.sum()) + 1
        typical = (float(self._tokens.sum()) + assumed) / ended
        typical_squared = (float(self._squared.sum()) + assumed**2) / ended
        mean = (self._tokens + typical) / (self._ended + 1)
        squared = (self._squared + typical_squared) / (self._ended + 1)
        return mean, np.maximum(squared - mean**2, 0.0)

"""Need: the demand of a model in units of what one of its replicas does."""

import math

import msgspec

from orchestration.allocation.capacity import Capacity
from orchestration.allocation.demand import ModelDemand
from orchestration.allocation.shortfall import enough, shortfall, spread
from serving.config import ModelSettings


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """A model, what is asked of it, and what one replica does about it."""

    model: ModelSettings
    demand: ModelDemand
    capacity: Capacity

    @property
    def interactive(self) -> float:
        """Interactive load, in replicas."""
        return self.capacity.replicas(self.demand.interactive_tokens_per_s)

    @property
    def batch(self) -> float:
        """Batch load with its backlog, in replicas."""
        return self.capacity.replicas(self.demand.batch_tokens_per_s)

    @property
    def kept_from_batch(self) -> float:
        """What the interactive cap takes from the replicas the model has, in replicas.

        Nothing where no batch work waits or is held: then nobody misses it.
        """
        cap = self.demand.mean_cap
        if cap is None or not self.demand.waiting_batch:
            return 0.0
        left = self.capacity.share_at(cap, self.model.slots)
        return self.demand.capped_replicas * (1 - left)

    @property
    def spread(self) -> float:
        """Standard deviation of the interactive load at one instant, in replicas."""
        return spread(self.interactive, concurrency=self.capacity.concurrency)

    @property
    def enough(self) -> int:
        """Replicas beyond which load is no reason for one more."""
        interactive = enough(self.interactive, self.spread)
        return max(interactive, math.ceil(self.interactive + self.batch + self.kept_from_batch))

    def late(self, replicas: int) -> float:
        """Interactive load that `replicas` would not serve in time, as is to be expected."""
        return shortfall(self.interactive, self.spread, replicas)

    def missing(self, replicas: int) -> float:
        """Load that `replicas` would leave undone.

        Where batch is squeezed by interactive traffic, its own load at most: more than there is
        to do cannot be missed.
        """
        beyond = self.interactive + self.batch - replicas
        return max(beyond, min(beyond + self.kept_from_batch, self.batch))

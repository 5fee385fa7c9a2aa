"""Need: the demand of a model in units of what one of its replicas does."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

from orchestration.allocation.load.capacity import Capacity
from orchestration.allocation.load.demand import ModelDemand
from orchestration.allocation.load.shortfall import enough, shortfall, spread
from serving.config import ModelSettings


@dataclass(frozen=True, kw_only=True)
class Need:
    """A model, what is asked of it, and what one replica does about it."""

    model: ModelSettings
    demand: ModelDemand
    capacity: Capacity

    def at_least(self, replicas: int) -> "Need":
        """The same with a higher minimum, if `replicas` is above the model's own."""
        if replicas <= self.model.min_replicas:
            return self
        model = self.model.model_copy(update={"min_replicas": replicas})
        return replace(self, model=model)

    @cached_property
    def interactive(self) -> float:
        """Interactive load to be expected, with what waits, in replicas."""
        return self.capacity.replicas(self.demand.interactive_expected.mean_tokens_per_s)

    @cached_property
    def batch(self) -> float:
        """Batch load with its backlog, or what its deadlines ask for, in replicas."""
        demand = self.demand
        return self.capacity.replicas(max(demand.batch_tokens_per_s, demand.batch_due_tokens_per_s))

    @cached_property
    def kept_from_batch(self) -> float:
        """What the interactive cap takes from the replicas the model has, in replicas.

        Nothing where no batch work waits or is held: then nobody misses it.
        """
        cap = self.demand.mean_cap
        if cap is None or not self.demand.waiting_batch:
            return 0.0
        left = self.capacity.share_at(cap, self.model.slots)
        return self.demand.capped_replicas * (1 - left)

    @cached_property
    def spread(self) -> float:
        """Standard deviation of the interactive load at one instant, in replicas."""
        return spread(
            self.interactive, concurrency=self.capacity.concurrency, forecast_sd=self.unsure
        )

    @cached_property
    def unsure(self) -> float:
        """Standard deviation of the expected interactive load itself, in replicas."""
        return self.capacity.replicas(self.demand.interactive_expected.sd_tokens_per_s)

    @cached_property
    def enough(self) -> int:
        """Replicas beyond which load is no reason for one more."""
        interactive = enough(self.interactive, self.spread)
        return max(interactive, math.ceil(self.interactive + self.batch + self.kept_from_batch))

    def late(self, replicas: int, *, beyond: float = 0.0) -> float:
        """Interactive load that `replicas` would not serve in time, as is to be expected.

        If the load is `beyond` what is expected, in standard deviations of that.
        """
        load = max(0.0, self.interactive + beyond * self.unsure)
        return shortfall(load, self.spread, replicas)

    def missing(self, replicas: int) -> float:
        """Load that `replicas` would leave undone.

        Where batch is squeezed by interactive traffic, its own load at most: more than there is
        to do cannot be missed.
        """
        beyond = self.interactive + self.batch - replicas
        return max(beyond, min(beyond + self.kept_from_batch, self.batch))

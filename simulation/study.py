"""A study of one trace: every policy on the same pool, and what pool each policy would need."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from serving.config import Fleet, HostSettings, ModelSettings
from serving.config.fleet import AllocationSettings, RandomSource
from serving.switching.timing import patience_s
from simulation.attainment import Attainment, ServiceLevel, attainment
from simulation.cluster import Cluster
from simulation.gateway import Gateway
from simulation.placement import HoldBack
from simulation.policies.autoscaler import Autoscaler
from simulation.policies.clairvoyant import Clairvoyant
from simulation.policies.on_request import OnRequest
from simulation.policies.pinned import Pinned, mean_counts, mean_load, output_token_s
from simulation.policies.planned import Planned
from simulation.policy import Policy
from simulation.replay import replay
from simulation.service import ServiceModel, SwapTimes
from simulation.setting import Assumptions
from simulation.trace import Trace

WANTED = 0.99
"""The attainment that a pool is sized for."""

PolicyFactory = Callable[[int], Policy]
"""A fresh policy for a pool of so many hosts."""


class Study:
    """A trace and what is assumed of engines."""

    def __init__(self, trace: Trace, assumed: Assumptions) -> None:
        self.trace, self.assumed = trace, assumed
        self.level = ServiceLevel(assumed.ttft_s, assumed.tpot_s)
        service = ServiceModel(
            step_s=assumed.step_s,
            token_s=assumed.token_s,
            prefill_token_s=assumed.prefill_token_s,
            chunk_tokens=assumed.chunk_tokens,
            slots=assumed.slots,
        )
        self.services = [service] * len(trace.models)

    def default_hosts(self) -> int:
        """A third of the models or twice the mean load, whichever is more."""
        load = mean_load(self.trace, self.services, self.assumed.tpot_s)
        return max(2, math.ceil(len(self.trace.models) / 3), math.ceil(2.0 * sum(load)))

    def attained(self, policy: Policy, hosts: int) -> Attainment:
        """Replay the whole trace under `policy`."""
        gateway = None
        if policy.through_our_gateway:
            gateway = Gateway(self.model_names, ttft_s=self.level.ttft_s)
        cluster = self._cluster(hosts, hold_back=policy.through_our_gateway)
        cores = self.assumed.shared_cores
        replayed = replay(self.trace, cluster, policy, gateway=gateway, cores=cores)
        return attainment(replayed, self.level)

    @property
    def model_names(self) -> list[str]:
        """The models' names as the planner and the gateway know them."""
        return [f"model-{number}" for number in range(len(self.trace.models))]

    def policies(self) -> dict[str, PolicyFactory]:
        """Every policy that is compared, by name. Pinning to the peak is sized, not compared."""
        tpot_s = self.assumed.tpot_s
        means = mean_counts(self.trace, self.services, tpot_s)
        return {
            "turntable": self._planned,
            "clairvoyant": lambda _: Clairvoyant(self.trace, self.services, tpot_s),
            "swap on request": lambda _: OnRequest(),
            "pod autoscaler": lambda _: Autoscaler(tpot_s),
            "pinned to the mean": lambda _: Pinned("pinned to the mean", means),
        }

    def engines_for(self, make: PolicyFactory, most: int) -> int | None:
        """The fewest hosts with which a policy attains `WANTED`; None if `most` do not.

        By bisection: more hosts are taken never to be worse.
        """
        if not self._enough(make, most):
            return None
        too_few, enough = 0, most
        while enough - too_few > 1:
            middle = (too_few + enough) // 2
            if self._enough(make, middle):
                enough = middle
            else:
                too_few = middle
        return enough

    def engines_pinned_to_the_peak(self, most_each: int = 16) -> int:
        """Dedicated engines: for each model alone, the fewest with which it attains `WANTED`."""
        total = 0
        for model in range(len(self.trace.models)):
            alone = Study(_only(self.trace, model), self.assumed)
            counts = partial(_pin_all, models=1)
            total += alone.engines_for(counts, most_each) or most_each
        return total

    def _enough(self, make: PolicyFactory, hosts: int) -> bool:
        return self.attained(make(hosts), hosts).interactive >= WANTED

    def _cluster(self, hosts: int, *, hold_back: bool) -> Cluster:
        assumed = self.assumed
        asleep_s, ttft_s = assumed.swap_asleep_s, assumed.ttft_s
        cap = max(1, self.services[0].largest_batch(assumed.tpot_s)) if self.services else 1
        return Cluster(
            self.services,
            hosts,
            room=assumed.models_in_host_memory,
            swap_times=SwapTimes(asleep_s, assumed.swap_disk_s),
            batch_cap=[cap] * len(self.services),
            hold_back=HoldBack(patience_s(ttft_s, asleep_s), ttft_s) if hold_back else None,
        )

    def _planned(self, hosts: int) -> Policy:
        return Planned(self._fleet(hosts), reaction_s=self.assumed.reaction_s)

    def _fleet(self, hosts: int) -> Fleet:
        """A fleet file's content for the pool: every model may have every host."""
        return Fleet(
            allocation=AllocationSettings(time_sharing=True),
            hosts=[
                HostSettings(
                    name=f"host-{n}",
                    port=10_000 + n,
                    host_memory_gib=self.assumed.models_in_host_memory + 1,
                )
                for n in range(hosts)
            ],
            models=[
                ModelSettings(
                    name=name,
                    source=RandomSource(kind="random"),
                    max_replicas=hosts,
                    replica_tokens_per_s=self._tokens_per_s(number),
                )
                for number, name in enumerate(self.model_names)
            ],
        )

    def _tokens_per_s(self, model: int) -> float:
        """Prompt and output tokens that one engine does, in the model's own mixture."""
        rows = self.trace.model == model
        prompt = float(self.trace.input_tokens[rows].sum())
        output = float(self.trace.output_tokens[rows].sum())
        service = self.services[model]
        output_s = output * output_token_s(service, self.assumed.tpot_s)
        work_s = prompt * service.prefill_token_s + output_s
        return (prompt + output) / work_s if work_s else 1.0


def _pin_all(hosts: int, models: int) -> Policy:
    return Pinned("pinned to the peak", [hosts] * models)


def _only(trace: Trace, model: int) -> Trace:
    rows = np.flatnonzero(trace.model == model)
    return Trace(
        models=[trace.models[model]],
        arrival_s=trace.arrival_s[rows],
        model=np.zeros(len(rows), dtype=np.int64),
        input_tokens=trace.input_tokens[rows],
        output_tokens=trace.output_tokens[rows],
        batch=trace.batch[rows],
    )

"""What a policy is asked, and when. One that has nothing to say leaves the method as it is."""

import math
from collections.abc import Sequence

from simulation.cluster import Cluster
from simulation.commands import Command
from simulation.engine import Request
from simulation.host import Host


class Policy:
    """Decides which host serves which model, or which ones. Sees the cluster, changes nothing."""

    name: str
    tick_s: float = math.inf
    """How often `tick` is asked; infinite: never."""
    through_our_gateway = False
    """Whether requests come through Turntable's gateway, which switches hosts within their grants
    and holds prompts back."""

    def start(self, cluster: Cluster) -> Sequence[Command]:
        """What is so when the trace begins: at no cost, with what is granted ready in memory."""
        raise NotImplementedError

    def tick(self, now: float, cluster: Cluster) -> Sequence[Command]:
        """Asked at regular times."""
        return ()

    def starved(self, now: float, model: int, cluster: Cluster) -> Sequence[Command]:
        """Asked when a request for `model` arrives and no host serves it, or is about to."""
        return ()

    def idle(self, now: float, host: Host, cluster: Cluster) -> Sequence[Command]:
        """Asked when `host` has nothing more to run."""
        return ()

    def arrived(self, now: float, request: Request) -> None:
        """Told of every request that arrives."""

    def ended(self, now: float, request: Request) -> None:
        """Told of every request that ends."""

"""The modelled gateway's part in time-sharing: it asks the switching rule, as the real one does.

It sees what waits and what runs on every host, asks when a request finds no slot, when prompts pile
up, when a host becomes idle, and when the rule said to ask again. What to switch is the rule's.
"""

from collections.abc import Mapping, Sequence

from serving.switching import Queue, SharedHost, decide
from simulation.cluster import Cluster
from simulation.commands import Swap
from simulation.engine import NEVER
from simulation.host import Host


class Gateway:
    """Asks the rule; remembers when to ask again."""

    def __init__(self, models: Sequence[str], *, ttft_s: float) -> None:
        self._models, self._ttft_s = list(models), ttft_s
        self._numbers = {name: number for number, name in enumerate(self._models)}
        self._crowded: set[int] = set()
        self._tiers: dict[int, tuple[int, tuple[str, ...], Mapping[str, float]]] = {}
        self.asks_at = NEVER
        """When to ask if nothing happens before."""

    def came(self, model: int, cluster: Cluster) -> bool:
        """A request for `model` has come and found a slot; whether prompts pile up there."""
        if not cluster.crowded(model):
            return False
        self._crowded.add(model)
        return True

    def switches(self, now: float, cluster: Cluster) -> list[Swap]:
        """What the rule says now."""
        self.asks_at = NEVER
        wanting = sorted(cluster.waited_for | self._crowded)
        if not wanting:
            return []
        queues = [self._queue(now, model, cluster) for model in wanting]
        self._crowded = {m for m, q in zip(wanting, queues, strict=True) if q.prompt_work_s > 0}
        decision = decide([self._host(now, host, cluster) for host in cluster.hosts], queues)
        if decision.ask_again_s is not None:
            self.asks_at = now + max(decision.ask_again_s, 1e-3)
        return [
            Swap(int(switch.host), self._numbers[switch.to_model], within_grant=True)
            for switch in decision.switches
        ]

    def _queue(self, now: float, model: int, cluster: Cluster) -> Queue:
        waiting = cluster.waiting[model]
        return Queue(
            model=self._models[model],
            interactive=waiting.interactive,
            batch=waiting.batch,
            interactive_wait_s=now - waiting.interactive_since,
            batch_wait_s=now - waiting.batch_since,
            batch_queued=waiting.batch if cluster.replicas[model] else 0,
            prompt_work_s=cluster.prompt_work_s(model),
            ttft_s=self._ttft_s,
        )

    def _host(self, now: float, host: Host, cluster: Cluster) -> SharedHost:
        names, engine = self._models, host.engine
        interactive = engine.interactive if engine is not None else 0
        running = engine.running if engine is not None else 0
        resumed = engine.context_tokens if engine is not None else 0.0
        grant, wake_s = self._wake_s(host, cluster)
        return SharedHost(
            name=str(host.number),
            grant=grant,
            awake=None if host.awake is None else names[host.awake],
            coming=None if host.target is None else names[host.target],
            awake_for_s=now - host.swapped_at,
            unused_for_s=0.0 if running else now - host.used_at,
            interactive=interactive,
            batch=running - interactive,
            unanswered=engine.prompts if engine is not None else 0,
            resume_s=resumed * cluster.services[host.awake or 0].prompt_token_s,
            wake_s=wake_s,
        )

    def _wake_s(self, host: Host, cluster: Cluster) -> tuple[tuple[str, ...], Mapping[str, float]]:
        """The grant of `host`, and how long each model of it takes to wake; kept while it holds."""
        known = self._tiers.get(host.number)
        if known is None or known[0] != host.tier_changes:
            grant = tuple(self._models[model] for model in host.grant)
            wake_s = {self._models[m]: cluster.wake_s(host, m) for m in host.grant}
            known = (host.tier_changes, grant, wake_s)
            self._tiers[host.number] = known
        return known[1], known[2]

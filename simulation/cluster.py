"""The modelled fleet: hosts, the tiers of their models, and the requests that wait.

The one owner of that state. Effects only: which host serves which model is a policy's to say, and
within a grant the gateway's.
"""

from collections.abc import Iterable, Sequence

from simulation.commands import Command, Grant, Swap
from simulation.engine import Engine, Request
from simulation.host import Host
from simulation.placement import HoldBack, in_time, least_busy
from simulation.service import ServiceModel, SwapTimes
from simulation.waiting import Waiting


class Cluster:
    """Hosts and waiting requests, changed by arrivals, engines' events and commands."""

    def __init__(
        self,
        services: Sequence[ServiceModel],
        hosts: int,
        *,
        room: int,
        swap_times: SwapTimes,
        batch_cap: Sequence[int],
        hold_back: HoldBack | None = None,
    ) -> None:
        """`batch_cap[model]`: with so many running, batch is not given a slot beside them."""
        self.services, self.swap_times = services, swap_times
        self.hosts = [Host(number, room) for number in range(hosts)]
        self.waiting = [
            Waiting(hold_back.ttft_s, service.prompt_token_s) if hold_back else Waiting()
            for service in services
        ]
        self.waited_for: set[int] = set()
        """Models for which requests wait."""
        self.replicas: list[list[Host]] = [[] for _ in services]
        self.moves = 0
        """Hotswaps that a policy asked for."""
        self.switches = 0
        """Hotswaps within a grant."""
        self.disturbed = 0
        self._batch_cap, self._hold_back = batch_cap, hold_back

    def arrive(self, request: Request, now: float) -> Host | None:
        """Take a request in; the host that gave it a slot, None if it waits."""
        self.waiting[request.model].add(request, now)
        self.waited_for.add(request.model)
        touched = self.dispatch(request.model, now)
        return touched[0] if touched else None

    def dispatch(self, model: int, now: float) -> list[Host]:
        """Give slots to what waits for `model`; the hosts whose engines were given something."""
        waiting = self.waiting[model]
        touched: list[Host] = []
        self._arrange(model, now)
        while (request := waiting.first()) is not None:
            host = self._place(request)
            if host is None:
                return touched
            assert host.engine is not None
            host.engine.add(waiting.take(), now)
            touched.append(host)
        if not len(waiting):
            self.waited_for.discard(model)
        return touched

    def prompt_work_s(self, model: int) -> float:
        """How long one engine would compute the prompts of `model`, on its engines or waiting."""
        tokens = sum(host.engine.prompt_tokens for host in self.replicas[model] if host.engine)
        tokens += self.waiting[model].prompt_tokens
        return tokens * self.services[model].prompt_token_s

    def _arrange(self, model: int, now: float) -> None:
        """Choose whose turn it is, if an engine takes one more."""
        if self._hold_back is None:
            return
        token_s = self.services[model].prompt_token_s
        engines = [host.engine for host in self.replicas[model] if host.engine is not None]
        free_in_s = [engine.prompt_tokens * token_s for engine in engines]
        if any(s <= self._hold_back.patience_s for s in free_in_s):
            self.waiting[model].arrange(now, free_in_s)

    def _place(self, request: Request) -> Host | None:
        """The replica that gives it a slot; None if it is to wait."""
        replicas, cap = self.replicas[request.model], self._batch_cap[request.model]
        if self._hold_back is None:
            return least_busy(request, replicas, cap)
        most = self._hold_back.patience_s / self.services[request.model].prompt_token_s
        return in_time(request, replicas, cap, most_prompt_tokens=most)

    def grant(self, grant: Grant) -> bool:
        """Say what a host may have awake; whether it now begins to bring models up."""
        host = self.hosts[grant.host]
        host.grant = grant.models
        host.tier_changes += 1
        begins = not host.preparing and self._missing(host) is not None
        host.preparing = host.preparing or begins
        return begins

    def prepared(self, host: Host) -> bool:
        """One more model of its grant is asleep in its memory; whether it goes on."""
        model = self._missing(host)
        if model is not None:
            self._keep(host, model)
            host.tier_changes += 1
        host.preparing = self._missing(host) is not None
        return host.preparing

    def _missing(self, host: Host) -> int | None:
        """The first model of the grant that should be in memory and is not."""
        there = {host.awake, host.target, *host.asleep}
        missing = (m for m in host.grant[: host.room + 1] if m not in there)
        return next(missing, None)

    def swap(self, swap: Swap, now: float, *, told_after_s: float = 0.0) -> float | None:
        """Begin a hotswap; when it will have ended, None if there is nothing to do.

        What ran on the host waits again, before those that wait already, with its tokens kept.
        The caller has advanced the engine to `now`. `told_after_s` is part of the time it takes.
        """
        host, model = self.hosts[swap.host], swap.model
        if host.assigned == model:
            return None
        took_s = told_after_s + self.wake_s(host, model)
        old = host.awake
        if old is not None and host.engine is not None:
            self._hand_back(host, old, now)
            self._keep(host, old)
        if model in host.asleep:
            host.asleep.remove(model)
        host.awake, host.engine, host.target = None, None, model
        host.swap_ends_at = now + took_s
        host.version += 1
        host.tier_changes += 1
        if swap.within_grant:
            self.switches += 1
        else:
            self.moves += 1
        return host.swap_ends_at

    def wake_s(self, host: Host, model: int) -> float:
        """How long a hotswap to `model` takes; for the awake one or the next, if it were asleep."""
        if model in host.asleep or model == host.assigned:
            return self.swap_times.asleep_s
        return self.swap_times.disk_s

    def swapped(self, host: Host, now: float) -> None:
        """The hotswap of `host` has ended: its target is awake."""
        assert host.target is not None
        host.awake, host.target, host.swapped_at = host.target, None, now
        host.engine, host.used_at = Engine(self.services[host.awake], now), now
        self.replicas[host.awake].append(host)

    def _hand_back(self, host: Host, model: int, now: float) -> None:
        assert host.engine is not None
        self.replicas[model].remove(host)
        for request in reversed(host.engine.take_all()):
            request.disturbed += 1
            self.disturbed += 1
            self.waiting[model].add(request, now)
            self.waited_for.add(model)

    def _keep(self, host: Host, model: int) -> None:
        """`model` is asleep; of what is not granted, the least recently awake one gives way."""
        host.asleep.append(model)
        if len(host.asleep) > host.room:
            outside = (each for each in host.asleep if each not in host.grant)
            host.asleep.remove(next(outside, host.asleep[0]))

    def preload(self, commands: Iterable[Command], now: float) -> None:
        """Start like this, at no cost: a fleet that has run, memory full, what is granted first."""
        for command in commands:
            host = self.hosts[command.host]
            if isinstance(command, Grant):
                host.grant = command.models
            else:
                host.target = command.model
        for host in self.hosts:
            first = host.target if host.target is not None else host.number
            if host.target is not None:
                self.swapped(host, now)
                host.swapped_at = float("-inf")
            models = len(self.services)
            others = [*host.grant, *((first + n) % models for n in range(models))]
            ready = [model for model in dict.fromkeys(others) if model != host.awake]
            host.asleep = ready[: host.room][::-1]
            host.tier_changes += 1

    def crowded(self, model: int) -> bool:
        """Whether more prompts wait for the engines of `model` than they answer in time."""
        if self._hold_back is None:
            return False
        replicas = max(1, len(self.replicas[model]))
        return self.prompt_work_s(model) > self._hold_back.patience_s * replicas

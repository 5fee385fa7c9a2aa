"""Turntable's own planner, fed with what the modelled fleet would tell it.

The same `propose` that allocation runs call; its moves and grants come `reaction_s` later. Within
grants the modelled gateway switches. No decision about models is made here.
"""

from collections.abc import Sequence

from orchestration.allocation import Plan, propose
from orchestration.allocation.load.demand import Outlook
from serving.config import Fleet
from simulation.cluster import Cluster
from simulation.commands import Command, Grant, Swap
from simulation.engine import Request
from simulation.policies.readings import Readings
from simulation.policy import Policy

SENSOR_S = 1.0
"""How often the sensor looks."""
PRESSED_S = 2.0
"""How often a plan is made while requests wait for a model that no host may wake, or pile up."""
QUIET_S = 20.0
"""How often a plan is made otherwise."""


class Planned(Policy):
    """Plans while requests wait that no switch helps, and now and then."""

    name = "turntable"
    tick_s = SENSOR_S
    through_our_gateway = True

    def __init__(self, fleet: Fleet, *, reaction_s: float) -> None:
        """`reaction_s`: from a plan to the hotswap commands (a run's start)."""
        self._fleet, self._reaction_s = fleet, reaction_s
        self._readings = Readings(fleet)
        self._numbers = {model.name: number for number, model in enumerate(fleet.models)}
        self._hosts = {host.name: number for number, host in enumerate(fleet.hosts)}
        self._planned_at = float("-inf")
        self._due: tuple[float, list[Command]] | None = None
        self._last_plan = 0

    def start(self, cluster: Cluster) -> Sequence[Command]:
        """Minimums first, then the models of the fleet in order; and the first plan's grants."""
        minimums = [n for n, m in enumerate(self._fleet.models) for _ in range(m.min_replicas)]
        others = [n for n, m in enumerate(self._fleet.models) if not m.min_replicas]
        ordered = [*minimums, *others]
        awake = [ordered[n % len(ordered)] for n in range(len(cluster.hosts))]
        begun: list[Command] = [Swap(host, model) for host, model in enumerate(awake)]
        plan = self._propose(0.0, cluster, awake)
        return [*begun, *self._commands(plan, set(plan.grants))]

    def tick(self, now: float, cluster: Cluster) -> Sequence[Command]:
        """Hand out what is due, or plan: never two allocation runs at once."""
        if self._due is not None:
            due_at, commands = self._due
            if now < due_at:
                return []
            self._due = None
            return commands
        every_s = PRESSED_S if _pressed(cluster) else QUIET_S
        if now - self._planned_at >= every_s:
            self._planned_at = now
            plan = self._propose(now, cluster)
            commands = self._commands(plan, {*plan.regrants, *(move.host for move in plan.moves)})
            if commands:
                self._due = (now + self._reaction_s, commands)
        return []

    def arrived(self, now: float, request: Request) -> None:
        """Count it into its model's load."""
        self._readings.arrived(now, request)

    def ended(self, now: float, request: Request) -> None:
        """Count it into its model's traffic."""
        self._readings.ended(now, request)

    def _propose(self, now: float, cluster: Cluster, awake: Sequence[int] | None = None) -> Plan:
        plan = propose(
            self._fleet,
            self._readings.states(cluster, self._last_plan, awake),
            self._readings.traffic(now, cluster),
            now=now,
            outlook=Outlook(
                forecasts={
                    (model, "interactive"): forecast
                    for model, forecast in self._readings.forecasts(now).items()
                }
            ),
            swapped_at={
                s.name: h.swapped_at for s, h in zip(self._fleet.hosts, cluster.hosts, strict=True)
            },
            last_plan_id=self._last_plan,
        )
        self._last_plan = plan.plan_id
        return plan

    def _commands(self, plan: Plan, hosts: set[str]) -> list[Command]:
        """Grants of the hosts that get another one, then the moves."""
        grants = [
            Grant(self._hosts[host], tuple(self._numbers[name] for name in plan.grants[host]))
            for host in sorted(hosts)
        ]
        moves = [Swap(self._hosts[m.host], self._numbers[m.to_model]) for m in plan.moves]
        return [*grants, *moves]


def _pressed(cluster: Cluster) -> bool:
    if any(cluster.crowded(host.awake) for host in cluster.hosts if host.awake is not None):
        return True
    granted = {model for host in cluster.hosts if len(host.grant) > 1 for model in host.grant}
    return any(not cluster.replicas[m] and m not in granted for m in cluster.waited_for)

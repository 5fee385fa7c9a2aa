"""Hotswaps of one run, side by side: each host is told at once, and waited for on its own.

Before that every host is told its grant; one that is to be swapped gets it with that command, so
that it does not switch in between. And every host is given the batch-size profiles of its hardware.
A host that starts, or comes back, leads to a run, so none stays without; one that has a profile
already changes nothing.
"""

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait

import dagster as dg
import msgspec
from pydantic import PrivateAttr

from orchestration.allocation.plan import Plan
from orchestration.allocation.reading.snapshot import host_client
from orchestration.allocation.standbys import standbys
from orchestration.installation import Installation
from orchestration.profiling.delivery import deliver
from orchestration.profiling.record import ProfileRecord
from serving.errors import HostError
from serving.wire import Grant, Standbys, SwapCommand, SwapReport

GRANT_S = 1.0
"""How long hotswaps wait for the other hosts to take their grants over."""


class SwapOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A hotswap command and the host it is for."""

    host: str
    command: SwapCommand


class SwapResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a hotswap ended: the host's report, or why there is none."""

    order: SwapOrder
    report: SwapReport | None
    error: str | None

    @property
    def succeeded(self) -> bool:
        """The host has the model now."""
        return self.error is None


def orders(plan: Plan) -> list[SwapOrder]:
    """The commands that carry a plan out. The host must still have the model the plan saw."""
    moving = {move.host for move in plan.moves}
    dedicated = {host for host in plan.grants if not plan.shares(host)}
    stays = {plan.granted(host) for host in dedicated - moving}
    return [
        SwapOrder(
            host=move.host,
            command=SwapCommand(
                model=move.to_model,
                plan_id=plan.plan_id,
                reason=move.reason,
                expected_awake=move.from_model,
                # With a replica to go to at once, generations go in its pace.
                policy="stagger" if move.from_model in stays - {None} else "hand_back",
                grant=move.grant,
            ),
        )
        for move in plan.moves
    ]


def grants(plan: Plan) -> dict[str, Grant]:
    """What every host that serves, and is not to be swapped, is told that it may have awake."""
    moving = {move.host for move in plan.moves}
    return {
        host: Grant(plan_id=plan.plan_id, models=models)
        for host, models in plan.grants.items()
        if models and host not in moving
    }


class Hotswaps(dg.ConfigurableResource[None]):
    """Sends hotswap commands from threads of their own; lives as long as the run."""

    installation: dg.ResourceDependency[Installation]

    _pool: ThreadPoolExecutor = PrivateAttr()
    _started: dict[str, Future[SwapResult]] = PrivateAttr(default_factory=dict)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Open the threads for a run."""
        self._pool = ThreadPoolExecutor(len(self.installation.fleet.hosts))

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Wait for what the threads do."""
        self._pool.shutdown()

    def grant(self, plan: Plan) -> None:
        """Tell every host what it may have awake; waits for the answers, but not for long."""
        told = [self._pool.submit(self._grant, host, g) for host, g in grants(plan).items()]
        wait(told, GRANT_S)

    def _grant(self, host: str, grant: Grant) -> None:
        try:
            with host_client(self.installation.fleet, self.installation.state, host) as client:
                client.grant(grant)
        except HostError as error:
            # It keeps the grant it has. That is drift, and leads to a run.
            dg.get_dagster_logger().warning(f"{host} was not told its grant: {error}")

    def want(self, plan: Plan) -> None:
        """Tell every host that serves what the plan wants ready there."""
        for host, models in standbys(self.installation.fleet, plan).items():
            wanted = Standbys(plan_id=plan.plan_id, models=list(models))
            self._pool.submit(self._tell, host, wanted)

    def _tell(self, host: str, wanted: Standbys) -> None:
        try:
            with host_client(self.installation.fleet, self.installation.state, host) as client:
                client.want(wanted)
        except HostError as error:
            # It keeps what it kept; the next plan tells it again.
            dg.get_dagster_logger().warning(f"{host} was not told its standbys: {error}")

    def start(self, orders: Iterable[SwapOrder]) -> None:
        """Send every command now, and profiles to the hosts without one."""
        for order in orders:
            self._started[order.host] = self._pool.submit(self._send, order)
        for host in self.installation.fleet.hosts:
            if host.name not in self._started:
                self._pool.submit(self._deliver, host.name)

    def result(self, order: SwapOrder) -> SwapResult:
        """How the hotswap ended. Sends the command if this process did not."""
        started = self._started.get(order.host)  # none when the step alone is run again
        return started.result() if started is not None else self._send(order)

    def _deliver(self, host: str) -> None:
        """Give a host the profiles; what that fails at is no reason not to swap."""
        fleet, state = self.installation.fleet, self.installation.state
        known = {model.name for model in fleet.models}
        profiles = [p for p in ProfileRecord.of(state).read() if p.model in known]
        try:
            with host_client(fleet, state, host) as client:
                deliver(client, profiles)
        except HostError as error:
            dg.get_dagster_logger().warning(f"no batch-size profiles given to {host}: {error}")

    def _send(self, order: SwapOrder) -> SwapResult:
        self._deliver(order.host)
        try:
            with host_client(self.installation.fleet, self.installation.state, order.host) as host:
                report = host.swap(order.command)
        except HostError as error:
            return SwapResult(order=order, report=None, error=str(error))
        if report.outcome in ("committed", "unchanged"):
            return SwapResult(order=order, report=report, error=None)
        why = f"{order.host}: hotswap to {report.to_model} {report.outcome}: {report.error}"
        fix = "See the host's log; it serves what it served before."
        if report.outcome == "failed":
            fix = "See the host's log; restart the host."
        return SwapResult(order=order, report=report, error=f"{why}. {fix}")

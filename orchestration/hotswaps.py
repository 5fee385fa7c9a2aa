"""Hotswaps of one run, side by side: each host is told at once, and waited for on its own."""

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import dagster as dg
import msgspec
from pydantic import PrivateAttr

from orchestration.allocation.plan import Plan
from orchestration.allocation.snapshot import host_client
from orchestration.allocation.standbys import standbys
from orchestration.installation import Installation
from serving.errors import HostError
from serving.wire import Standbys, SwapCommand, SwapReport


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
    return [
        SwapOrder(
            host=move.host,
            command=SwapCommand(
                model=move.to_model,
                plan_id=plan.plan_id,
                reason=move.reason,
                expected_awake=move.from_model,
            ),
        )
        for move in plan.moves
    ]


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
        """Send every command now."""
        for order in orders:
            self._started[order.host] = self._pool.submit(self._send, order)

    def result(self, order: SwapOrder) -> SwapResult:
        """How the hotswap ended. Sends the command if this process did not."""
        started = self._started.get(order.host)  # none when the step alone is run again
        return started.result() if started is not None else self._send(order)

    def _send(self, order: SwapOrder) -> SwapResult:
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

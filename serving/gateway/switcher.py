"""Switching shared hosts for what waits here: asks the rule, tells the hosts.

The rule is `serving.switching`, pure; when it is asked is decided here: when a request begins to
wait, is answered or ends, when a host reports, and when the rule wants to be asked again. Hosts
check what is expected of them, so gateways that decide at the same time do no harm.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from serving.config import Fleet
from serving.errors import HostError, PlanRefused
from serving.gateway.commands import SwitchSender
from serving.gateway.pool import HostView, Pool
from serving.gateway.queues import Queues
from serving.gateway.shared import Told, queued, shared_hosts
from serving.switching import Switch, decide
from serving.wire import SwapReport, SwitchCommand

LOOK_AT_MOST_EVERY_S = 0.01
"""So that a burst is one question, however many requests it has."""
PAUSE_PER_LOOK = 9.0
"""In a large fleet a look takes longer: the pause after it is so many times as long."""
BARRED_S = 30.0
"""A host that failed to wake a model is not told to again for so long: others may be."""

log = structlog.get_logger(__name__)


class Switcher:
    """Switches the fleet's shared hosts; `told` are the switches under way."""

    def __init__(
        self,
        fleet: Fleet,
        pool: Pool,
        queues: Queues,
        sender: SwitchSender,
        *,
        on_end: Callable[[str, str], None] = lambda _model, _outcome: None,
    ) -> None:
        """`on_end(model, outcome)` is called for every switch that was sent."""
        self._fleet, self._pool, self._queues, self._sender = fleet, pool, queues, sender
        self._on_end = on_end
        self._name = f"gateway {fleet.gateway.address}:{fleet.gateway.port}"
        self._told: dict[str, Told] = {}
        self._failed_at: dict[tuple[str, str], float] = {}
        self._look = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        queues.on_change(self._look.set)
        pool.on_change(self._look.set)

    async def run(self) -> None:
        """Look whenever there may be something to do, until cancelled. May be run again."""
        ask_again_s: float | None = None
        try:
            while True:
                await self._wait(ask_again_s)
                self._look.clear()
                began_at = time.monotonic()
                ask_again_s = self.look()
                took_s = time.monotonic() - began_at
                await asyncio.sleep(max(LOOK_AT_MOST_EVERY_S, PAUSE_PER_LOOK * took_s))
        finally:
            for task in self._tasks:
                task.cancel()
            self._told.clear()  # nobody follows them any more; hosts say themselves what they do

    def look(self) -> float | None:
        """Ask the rule and send what it decides; after how long to ask again at the latest."""
        waiting = queued(self._fleet, self._queues, self._pool.batch_queued())
        if not waiting:
            return None
        views = self._pool.hosts()
        self._told = {
            view.name: told
            for view in views
            if (told := self._told.get(view.name)) is not None and not told.over(view)
        }
        if not any(view.shared for view in views):
            return None
        hosts = shared_hosts(views, self._queues, self._told, self._barred())
        decision = decide(hosts, waiting)
        for switch in decision.switches:
            self._send(switch)
        return decision.ask_again_s

    def _barred(self) -> dict[str, frozenset[str]]:
        since = time.monotonic() - BARRED_S
        self._failed_at = {key: at for key, at in self._failed_at.items() if at > since}
        hosts = {host for host, _ in self._failed_at}
        return {name: frozenset(m for h, m in self._failed_at if h == name) for name in hosts}

    async def _wait(self, ask_again_s: float | None) -> None:
        try:
            async with asyncio.timeout(ask_again_s):
                await self._look.wait()
        except TimeoutError:
            return

    def _send(self, switch: Switch) -> None:
        self._told[switch.host] = Told(switch.to_model)
        elsewhere = set(self._pool.replicas(switch.from_model)) - {switch.host}
        command = SwitchCommand(
            model=switch.to_model,
            expected_awake=switch.from_model,
            reason=switch.reason,
            asked_by=self._name,
            waited_s=switch.waited_s,
            # With a replica to go to at once, generations go in its pace.
            policy="stagger" if elsewhere else "hand_back",
        )
        log.info("switch_sent", host=switch.host, to_model=switch.to_model, why=switch.reason)
        task = asyncio.create_task(self._follow(switch, command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, switch: Switch, command: SwitchCommand) -> None:
        host, outcome = self._fleet.host(switch.host), "unreachable"
        report: SwapReport | None = None
        try:
            report = await self._sender.switch(host, command)
            outcome = report.outcome
        except PlanRefused as refused:
            outcome = "refused"
            log.info("switch_refused", host=switch.host, why=refused.what)
        except HostError as error:
            log.warning("switch_failed", host=switch.host, why=error.what)
        except Exception:
            # A fault of ours: the host must not count as on its way for ever.
            log.exception("switch_not_followed", host=switch.host)
        if outcome not in ("committed", "refused"):
            self._failed_at[switch.host, switch.to_model] = time.monotonic()
        if report is not None and report.error is not None:
            log.warning("switch_ended_badly", host=switch.host, outcome=outcome, why=report.error)
        self._on_end(switch.to_model, outcome)
        self._await_report(switch.host)

    def _await_report(self, host: str) -> None:
        """The next report shows how it ended; until it comes nothing is decided for the host."""
        view: HostView = self._pool.host(host)
        if (told := self._told.get(host)) is not None:
            told.until_report = view.reports + 1
        self._pool.doubt(host)

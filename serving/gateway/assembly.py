"""Putting the gateway together, and its life: what runs while it serves, in which order it ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import structlog
from starlette.types import ASGIApp

from serving.batches import InputSize
from serving.config import BATCH_ACCOUNT, Fleet, ModelSettings, StateFolder
from serving.gateway.accounts import Accounts
from serving.gateway.attempts import AttemptRunner
from serving.gateway.batches.service import BatchService
from serving.gateway.census import Census, EventSink
from serving.gateway.commands import HostCommands
from serving.gateway.dialects import ENDPOINTS
from serving.gateway.dispatch import Dispatcher
from serving.gateway.front import front
from serving.gateway.metrics import GatewayMetrics
from serving.gateway.pool import Pool
from serving.gateway.status import Status
from serving.gateway.streams import HostStreams
from serving.gateway.switcher import Switcher
from serving.gateway.watch import FleetWatch

ModelAppBuilder = Callable[[ModelSettings, AttemptRunner], Awaitable[ASGIApp]]
"""Makes the app of one model; slow, so it runs while the port is open already."""

KEEP_ALIVE_S = 4.0
"""Shorter than the hosts' own, so that no request is sent into a closing connection."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Gateway:
    """A gateway that serves. `built` is done when every model's app is."""

    app: ASGIApp
    pool: Pool
    built: asyncio.Task[None]


@asynccontextmanager
async def running_gateway(
    fleet: Fleet,
    *,
    state: StateFolder,
    events: EventSink,
    build: ModelAppBuilder,
) -> AsyncIterator[Gateway]:
    """A gateway over `fleet`, for as long as the block lasts."""
    pool, census = Pool(fleet.hosts), Census(events)
    apps: dict[str, ASGIApp] = {}
    metrics = GatewayMetrics([model.name for model in fleet.models], pool, census)
    status = Status(fleet, pool, census, metrics, apps)
    admin_token = state.token("admin")
    accounts = Accounts(fleet.keys, batch_key=state.token(BATCH_ACCOUNT))
    dispatchers = {
        endpoint.path: Dispatcher(
            endpoint,
            fleet=fleet,
            accounts=accounts,
            apps=apps,
            events=events,
            on_end=metrics.observe,
        )
        for endpoint in ENDPOINTS
    }
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    ) as session:
        runner = AttemptRunner(pool, HostStreams(session, admin_token), census, fleet.gateway)
        if fleet.allocation.time_sharing:
            runner.bind_late(fleet)
        watch = FleetWatch(fleet.hosts, admin_token, session, pool)
        commands = HostCommands(session, admin_token)
        switcher = Switcher(fleet, pool, runner.queues, commands, on_end=metrics.switched)
        built = asyncio.create_task(_build_all(fleet, apps, runner, build))
        batches = BatchService(
            fleet, state, accounts, built=lambda: asyncio.shield(built), expected_s=_not_known
        )
        always = (watch.run(), census.run(), switcher.run(), batches.run())
        tasks = [*(asyncio.create_task(work) for work in always), built]
        for task in tasks[:-1]:
            task.add_done_callback(_say_why_it_ended)
        try:
            yield Gateway(front(status, dispatchers, batches.routes()), pool, built)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _not_known(_size: InputSize) -> float | None:
    return None


def _say_why_it_ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("gateway_task_died", exc_info=error)


async def _build_all(
    fleet: Fleet, apps: dict[str, ASGIApp], runner: AttemptRunner, build: ModelAppBuilder
) -> None:
    for model in fleet.models:
        apps[model.name] = await build(model, runner)
        log.info("model_ready", model=model.name)

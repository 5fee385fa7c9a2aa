"""Putting the gateway together, and its life: what runs while it serves, in which order it ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass

import aiohttp
import structlog
from starlette.types import ASGIApp

from analytics.events import RequestEnded
from serving.config import OWN_ACCOUNTS, Fleet, ModelSettings, StateFolder
from serving.gateway.accounts import Accounts
from serving.gateway.attempts import AttemptRunner
from serving.gateway.batches.expecting import expected_duration
from serving.gateway.batches.service import BatchService
from serving.gateway.census import Census, EventSink
from serving.gateway.commands import HostCommands
from serving.gateway.dialects import ENDPOINTS
from serving.gateway.dispatch import Dispatcher
from serving.gateway.front import front
from serving.gateway.gaps import TokenGaps
from serving.gateway.lines.figures import BatchFigures
from serving.gateway.lines.partials import Partials
from serving.gateway.metrics import GatewayMetrics
from serving.gateway.pool import Pool
from serving.gateway.rehearsal import Rehearsals
from serving.gateway.status import Status
from serving.gateway.streams import HostStreams
from serving.gateway.switcher import Switcher
from serving.gateway.watch import FleetWatch
from serving.lasting import LastingTasks

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
    partials = Partials.in_folder(state.partials(fleet.gateway.port))
    figures = BatchFigures(fleet, pool, census, state.profiles)
    lasting = LastingTasks()
    status = Status(fleet, pool, census, metrics, apps, figures, lasting)
    admin_token = state.token("admin")
    accounts = Accounts(fleet.keys, {name: state.token(name) for name in OWN_ACCOUNTS})

    def ended(event: RequestEnded, gaps: TokenGaps) -> None:
        metrics.observe(event, gaps)
        figures.ended(event)

    dispatchers = _dispatchers(fleet, accounts, apps, events, ended)
    async with _session() as session, aclosing(HostStreams(session, admin_token)) as streams:
        runner = AttemptRunner(
            pool,
            streams,
            census,
            fleet.gateway,
            batch_rates=figures.rates,
            partials=partials,
        )
        if fleet.allocation.time_sharing:
            runner.bind_late(fleet)
        watch = FleetWatch(fleet.hosts, admin_token, session, pool)
        commands = HostCommands(session, admin_token)
        switcher = Switcher(fleet, pool, runner.queues, commands, on_end=metrics.switched)
        built = asyncio.create_task(_build_all(fleet, apps, runner, build))
        batches = BatchService(
            fleet,
            state,
            accounts,
            built=lambda: asyncio.shield(built),
            rehearsals=Rehearsals(apps),
            expect=lambda size, others: expected_duration(size, others, figures.duration),
        )
        works = {
            **watch.works(),
            **batches.works(),
            "census": census.run,
            "switcher": switcher.run,
            "batch figures": figures.run,
            "partials": partials.run,
        }
        with closing(batches), closing(partials):
            async with _ended_with_the_block(built), lasting.running(works):
                yield Gateway(front(status, dispatchers, batches.routes()), pool, built)


def _dispatchers(
    fleet: Fleet,
    accounts: Accounts,
    apps: dict[str, ASGIApp],
    events: EventSink,
    on_end: Callable[[RequestEnded, TokenGaps], None],
) -> dict[str, Dispatcher]:
    """Of every endpoint, by its path."""
    return {
        endpoint.path: Dispatcher(
            endpoint, fleet=fleet, accounts=accounts, apps=apps, events=events, on_end=on_end
        )
        for endpoint in ENDPOINTS
    }


def _session() -> aiohttp.ClientSession:
    """What hosts are asked through."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S)
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    )


@asynccontextmanager
async def _ended_with_the_block(task: asyncio.Task[None]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _build_all(
    fleet: Fleet, apps: dict[str, ASGIApp], runner: AttemptRunner, build: ModelAppBuilder
) -> None:
    for model in fleet.models:
        apps[model.name] = await build(model, runner)
        log.info("model_ready", model=model.name)

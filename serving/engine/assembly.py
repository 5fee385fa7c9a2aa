"""Puts one engine host together from its parts: fleet entry, engines, owner, HTTP application."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import structlog
from fastapi import FastAPI

from serving.config import Fleet, HostSettings, ModelSettings, StateFolder
from serving.engine import records
from serving.engine.app import build_app
from serving.engine.decisions import HostDecisions
from serving.engine.decisions import events as ev
from serving.engine.decisions.device import DeviceBudget
from serving.engine.decisions.limits import CPU_PROMPTS, CUDA_PROMPTS, Limits
from serving.engine.decisions.silence import Patience
from serving.engine.decisions.staggering import (
    CPU_PREFILL_TOKENS_PER_S,
    CUDA_PREFILL_TOKENS_PER_S,
)
from serving.engine.engines import Engines
from serving.engine.hardware import hardware
from serving.engine.memory import MemoryTurns
from serving.engine.metrics import HostMetrics
from serving.engine.owner import HostOwner
from serving.engine.plan_file import PlanFile
from serving.engine.profiles import ProfileFolder
from serving.engine.protocol import DeviceMemory, EngineFactory, Weights
from serving.engine.records import EventSink
from serving.engine.state import StateView
from serving.engine.trunks import Trunks
from serving.engine.vigil import Vigil
from serving.lasting import LastingTasks

_GIB = 1024**3

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class HostOptions:
    """What a test or a deployment may set beyond the fleet file."""

    drain_s: float = 5.0
    """How long a hotswap waits for generations that are not evictable."""
    prewarm_after_s: float | None = 30.0
    """When to begin to bring the other models to `asleep` in the background; None: never.

    Not at once: loading a model takes a core for ten seconds, and when a host starts, the rest of
    a fleet on the same machine usually starts too."""
    sample_s: float = 1.0
    """How often load is measured, and memory when it is its turn."""
    keeps_vigil: bool = True
    """Whether the watch over engines counts time by itself; a test may count by hand."""
    stop_s: float = 5.0
    """How long a stopping host waits for its streams to end."""


@dataclass(frozen=True)
class EngineHost:
    """The parts of one running engine host."""

    owner: HostOwner
    vigil: Vigil
    view: StateView
    trunks: Trunks
    lasting: LastingTasks
    app: FastAPI
    first_model: str | None
    options: HostOptions
    prewarm_after_s: float | None

    def begin_stop(self) -> None:
        """Take nothing more, hand back every generation, answer every long poll."""
        self.owner.post(ev.ShutdownAsked())
        self.view.close()
        self.trunks.end()

    async def stop(self, running: asyncio.Task[None]) -> None:
        """Hand back every generation; in bounded time, whatever the engines do."""
        self.begin_stop()
        _, late = await asyncio.wait([running], timeout=self.options.stop_s)
        if late:
            log.warning("streams did not end in time", wait_s=self.options.stop_s)


def assemble(
    fleet: Fleet,
    state: StateFolder,
    name: str,
    factory: EngineFactory,
    sink: EventSink,
    *,
    options: HostOptions | None = None,
    weights: Weights | None = None,
    own_memory_bytes: Callable[[], int] = lambda: 0,
    on_crash: Callable[[], None] = lambda: None,
) -> EngineHost:
    """The host called `name` over engines made by `factory`; the app's lifespan runs it.

    `weights` are those of the models on this host's disk; None: all are there. `on_crash` is called
    should the owner's task ever raise: such a host must not live on.
    """
    options = options or HostOptions()
    settings, plan_file, metrics = fleet.host(name), PlanFile(state.host(name)), HostMetrics()
    obeyed, profiles = plan_file.read(), ProfileFolder(state.host(name))
    decisions = HostDecisions(
        name,
        {model.name: _limits(model, settings) for model in fleet.models},
        budget_bytes=int(settings.host_memory_gib * _GIB),
        prefill_tokens_per_s=_prefill_tokens_per_s(settings),
        device_bytes=_gib_or_none(settings.device_memory_gib),
        device=_device(settings),
        standbys=[model.name for model in fleet.models if model.min_replicas > 0],
        drain_s=options.drain_s,
        obeyed=obeyed,
        profiles=profiles.read(),
    )
    view = StateView(decisions, hardware(settings))
    patience = Patience(answer_s=settings.hung_after_s, command_s=settings.command_limit_s)
    vigil = Vigil(patience, metrics.hung)
    owner = HostOwner(
        decisions,
        lambda on_lost: Engines(
            fleet.models, factory, on_lost=on_lost, vigil=vigil, weights=weights
        ),
        plan_file=plan_file,
        profiles=profiles,
        sink=sink,
        metrics=metrics,
        changed=view.changed,
    )
    registered = {model.name for model in fleet.models}
    trunks, lasting = Trunks(), LastingTasks()
    app = build_app(owner, view, metrics, trunks, lasting, token=state.token("admin"))
    device = decisions.residency.device
    prewarm_after_s = options.prewarm_after_s if device is None or device.loads_beside() else None
    first_model = decisions.obeyed.first_model(settings.starts_with, registered)
    host = EngineHost(
        owner, vigil, view, trunks, lasting, app, first_model, options, prewarm_after_s
    )
    app.router.lifespan_context = _lifespan(host, metrics, sink, own_memory_bytes, on_crash)
    return host


def _limits(model: ModelSettings, host: HostSettings) -> Limits:
    return Limits(
        slots=model.slots,
        interactive_cap=model.interactive_cap,
        kv_cache_bytes=_kv_cache_in_host_ram(model, host),
        tpot_s=model.service_levels.tpot_s,
        prompts=CUDA_PROMPTS if host.accelerator == "cuda" else CPU_PROMPTS,
    )


def _device(settings: HostSettings) -> DeviceBudget | None:
    """The budget of the accelerator's own memory; on CPU engines live in host RAM alone."""
    if settings.accelerator == "cpu":
        return None
    return DeviceBudget(_gib_or_none(settings.device_memory_gib))


def _gib_or_none(gib: float | None) -> int | None:
    return None if gib is None else int(gib * _GIB)


def _prefill_tokens_per_s(settings: HostSettings) -> float:
    """What another replica prefills: one like this host."""
    cuda = settings.accelerator == "cuda"
    return CUDA_PREFILL_TOKENS_PER_S if cuda else CPU_PREFILL_TOKENS_PER_S


def _held(engines: Mapping[str, DeviceMemory]) -> int:
    return sum(memory.held_bytes for memory in engines.values())


def _kv_cache_in_host_ram(model: ModelSettings, settings: HostSettings) -> int:
    return int(model.kv_cache_gib * _GIB) if settings.accelerator == "cpu" else 0


def _lifespan(
    host: EngineHost,
    metrics: HostMetrics,
    sink: EventSink,
    own_memory_bytes: Callable[[], int],
    on_crash: Callable[[], None],
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    def watch(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("host crashed", task=task.get_name(), exc_info=error)
            on_crash()

    async def sample() -> None:
        await _sample(host, metrics, sink, own_memory_bytes)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        owner = asyncio.create_task(host.owner.run(host.first_model), name="owner")
        owner.add_done_callback(watch)
        if host.prewarm_after_s is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(host.prewarm_after_s, host.owner.post, ev.PrewarmAllowed())
        try:
            vigil = {"vigil": host.vigil.keep} if host.options.keeps_vigil else {}
            async with host.lasting.running({"sampler": sample, **vigil}):
                try:
                    yield
                finally:
                    await host.stop(owner)
                    owner.cancel()
        finally:
            await asyncio.gather(owner, return_exceptions=True)
            await host.owner.engines.stop_all()

    return lifespan


async def _sample(
    host: EngineHost, metrics: HostMetrics, sink: EventSink, own_memory_bytes: Callable[[], int]
) -> None:
    """Measure load every now and then, and memory when it is its turn, and pass them on."""
    owner, memory_bytes, turns = host.owner, 0, MemoryTurns()
    reported_tokens = owner.output_tokens
    while True:
        owner.post(ev.WeightsSeen(await asyncio.to_thread(owner.engines.present)))
        decisions = owner.decisions
        changes = decisions.residency.changes
        if turns.due(changes, swapping=decisions.transaction is not None):
            engines = await asyncio.to_thread(owner.engines.memory_bytes)
            memory_bytes = await asyncio.to_thread(own_memory_bytes) + sum(engines.values())
            device = owner.engines.device_memory()
            owner.post(ev.Measured(engines, changes, device))
        host.view.sampled(memory_bytes, _held(owner.engines.device_memory()))
        new_tokens, reported_tokens = owner.output_tokens - reported_tokens, owner.output_tokens
        state = host.view.now()
        metrics.sampled(state, new_tokens)
        for model, steps in owner.engines.abandoned_steps().items():
            metrics.abandoned(model, steps)
        sink.append(records.engine_sample(state, new_tokens))
        await asyncio.sleep(host.options.sample_s)

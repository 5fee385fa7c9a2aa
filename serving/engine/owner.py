"""The owner of an engine host: one task that applies one event at a time and performs effects.

Everything that may change the host posts an event here. Decisions are made by
`serving.engine.decisions`; slow effects run as tasks that post how they ended.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from itertools import count
from typing import Any

import structlog

from serving.engine import records
from serving.engine.decisions import HostDecisions
from serving.engine.decisions import effects as fx
from serving.engine.decisions import events as ev
from serving.engine.engines import Engines
from serving.engine.metrics import HostMetrics
from serving.engine.plan_file import PlanFile
from serving.engine.profiles import ProfileFolder
from serving.engine.records import EventSink
from serving.engine.steering import SteeringLine
from serving.engine.streams import GenerationStream, Outlet, ending, pump, submitted
from serving.errors import PlanRefused
from serving.wire import (
    Admitted,
    BatchSizeProfile,
    GenerateRequest,
    Grant,
    Held,
    IdleTier,
    Released,
    Standbys,
    SwapCommand,
    SwapReport,
    SwitchCommand,
    TierReport,
    TpotLevel,
)

_GenerationEffect = fx.Admit | fx.Hold | fx.Release | fx.Halt | fx.Close | fx.Evicted

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Broken:
    """An effect's task died: what was to be said of it never will be."""

    error: BaseException


class HostOwner:
    """Runs one host's decisions against its engines."""

    def __init__(
        self,
        decisions: HostDecisions,
        engines: Callable[[Callable[[str, str], None]], Engines],
        *,
        plan_file: PlanFile,
        profiles: ProfileFolder,
        sink: EventSink,
        metrics: HostMetrics,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.decisions = decisions
        self.engines = engines(lambda model, reason: self.post(ev.EngineLost(model, reason)))
        self.ended = asyncio.Event()
        self.output_tokens = 0
        self.changed = changed
        self._plan_file, self._profiles = plan_file, profiles
        self._steering = SteeringLine(self.engines.steer)
        self._sink = sink
        self._metrics = metrics
        self._mailbox: asyncio.Queue[ev.Event | _Broken] = asyncio.Queue()
        self._progress: ev.Progressed | None = None
        """In the mailbox, and still taking tokens."""
        self._streams: dict[str, GenerationStream] = {}
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = count(1)

    def post(self, event: ev.Event) -> None:
        """Hand an event to the owner."""
        self._mailbox.put_nowait(event)

    async def run(self, first_model: str | None) -> None:
        """Own the host until it is told to shut down. Raises what broke an effect."""
        self._perform_all(self.decisions.boot(first_model, time.monotonic()))
        while not self.ended.is_set():
            event = await self._mailbox.get()
            if isinstance(event, _Broken):
                raise event.error
            if event is self._progress:
                self._progress = None
            self._perform_all(self.decisions.apply(event, time.monotonic()))

    def submit(self, request: GenerateRequest, outlet: Outlet) -> GenerationStream:
        """Take a generation; its stream ends by itself, whatever happens."""
        stream = GenerationStream(f"{request.request_id}.{next(self._numbers)}", request, outlet)
        self._streams[stream.key] = stream
        self.post(submitted(stream))
        return stream

    def cancel(self, key: str) -> None:
        """The client of this stream is gone."""
        if key in self._streams:
            self.post(ev.Cancelled(key))

    def cancel_request(self, request_id: str) -> bool:
        """Cancel every stream of this request; whether there was one."""
        keys = [key for key, s in self._streams.items() if s.request.request_id == request_id]
        for key in keys:
            self.cancel(key)
        return bool(keys)

    async def swap(self, command: SwapCommand) -> SwapReport:
        """Carry out a hotswap command. Raises PlanRefused."""
        ticket, answer = self._ticket()
        self.post(ev.SwapAsked(ticket, command))
        # A client that gives up does not undo a hotswap.
        report: SwapReport = await asyncio.shield(answer)
        return report

    async def switch(self, command: SwitchCommand) -> SwapReport:
        """Carry out a switch within the grant. Raises PlanRefused."""
        ticket, answer = self._ticket()
        self.post(ev.SwitchAsked(ticket, command))
        report: SwapReport = await asyncio.shield(answer)
        return report

    async def grant(self, grant: Grant) -> None:
        """Take over which models the host may have awake. Raises PlanRefused."""
        ticket, answer = self._ticket()
        self.post(ev.GrantAsked(ticket, grant))
        await answer

    async def change_tier(self, model: str, tier: IdleTier) -> TierReport:
        """Bring a model that is not awake to a tier. Raises PlanRefused."""
        ticket, answer = self._ticket()
        self.post(ev.TierAsked(ticket, model, tier, time.monotonic()))
        report: TierReport = await asyncio.shield(answer)
        return report

    async def want(self, standbys: Standbys) -> None:
        """Take over what the control plane wants ready here. Raises PlanRefused."""
        ticket, answer = self._ticket()
        self.post(ev.StandbysAsked(ticket, standbys.plan_id, tuple(standbys.models)))
        await answer

    async def cancel_swap(self, plan_id: int) -> None:
        """Withdraw the hotswap of a plan; returns once it cannot happen. Raises PlanRefused."""
        ticket, answer = self._ticket()
        self.post(ev.CancelAsked(ticket, plan_id))
        await answer

    async def take_profile(self, profile: BatchSizeProfile) -> None:
        """Begin a model's interactive cap from a new profile. Raises PlanRefused."""
        ticket, answer = self._ticket()
        self.post(ev.Profiled(ticket, profile))
        await answer

    async def keep_to_level(self, model: str, level: TpotLevel) -> None:
        """Have a model's interactive cap keep to another TPOT. Raises PlanRefused."""
        ticket, answer = self._ticket()
        self.post(ev.LevelSet(ticket, model, level.tpot_s))
        await answer

    def _ticket(self) -> tuple[int, asyncio.Future[Any]]:
        ticket = next(self._numbers)
        self._answers[ticket] = asyncio.get_running_loop().create_future()
        return ticket, self._answers[ticket]

    def _perform_all(self, effects: list[fx.Effect]) -> None:
        for effect in effects:
            self._perform(effect)
        self.changed()

    def _perform(self, effect: fx.Effect) -> None:
        match effect:
            case fx.Admit() | fx.Hold() | fx.Release() | fx.Halt() | fx.Close() | fx.Evicted():
                self._on_generation(effect)
            case fx.Steer(model, steering):
                self._steering.send(model, steering)
            case fx.Fetch() | fx.Sleep() | fx.Wake() | fx.Check() | fx.Stop():
                self._spawn(self._step(effect))
            case fx.Move():
                self._spawn(self._move(effect))
            case fx.DrainTimer() | fx.HandBackTimer() | fx.RetryTimer():
                self._set_timer(effect)
            case fx.RememberPlan() | fx.RememberProfile():
                self._remember(effect)
            case fx.Answer():
                self._answer(effect)
            case fx.SwapEnded(command, report):
                self._swap_ended(command, report)
            case fx.ShutDown():
                self.ended.set()

    def _set_timer(self, effect: fx.DrainTimer | fx.HandBackTimer | fx.RetryTimer) -> None:
        match effect:
            case fx.DrainTimer(step, after_s):
                self._later(after_s, ev.DrainExpired(step))
            case fx.HandBackTimer(step, after_s):
                self._later(after_s, ev.HandBackDue(step))
            case fx.RetryTimer(after_s):
                log.error("host failed", reason=self.decisions.failure, retry_in_s=after_s)
                self._later(after_s, ev.RetryDue())

    def _remember(self, effect: fx.RememberPlan | fx.RememberProfile) -> None:
        """Before anything else happens: a plan is obeyed once it is on disk."""
        match effect:
            case fx.RememberPlan():
                self._plan_file.write(self.decisions.obeyed)
            case fx.RememberProfile(profile):
                self._profiles.write(profile)

    def _on_generation(self, effect: _GenerationEffect) -> None:
        stream = self._streams[effect.key]
        match effect:
            case fx.Admit(key, queue_s):
                self._admit(key, stream, queue_s)
            case fx.Halt():
                assert stream.pump is not None
                stream.pump.cancel()
            case fx.Close(key, frame):
                self._close(key, stream, frame)
            case fx.Evicted(_, reason):
                self._evicted(stream, reason, in_place=False)
            case fx.Hold():
                stream.put(Held())
                self._evicted(stream, "evicted", in_place=True)
            case fx.Release():
                stream.put(Released())
                self._metrics.released(stream.request)

    def _admit(self, key: str, stream: GenerationStream, queue_s: float) -> None:
        request = stream.request
        stream.put(Admitted(self.decisions.host, queue_s))
        self._metrics.admitted(request, queue_s)
        stream.pump = asyncio.create_task(
            pump(
                stream,
                lambda: self.engines.generate(request.model, key, request),
                self._on_progress,
            )
        )
        stream.pump.add_done_callback(lambda done: self.post(ending(key, done)))

    def _close(self, key: str, stream: GenerationStream, frame: ev.Terminal | None) -> None:
        del self._streams[key]
        stream.close(frame)
        outcome = self._metrics.closed(stream.request, frame)
        log.info(
            "generation ended",
            request_id=stream.request.request_id,
            model=stream.request.model,
            request_class=stream.request.request_class,
            attempt=stream.request.attempt,
            outcome=outcome,
            output_tokens=stream.output_tokens,
        )

    def _evicted(self, stream: GenerationStream, reason: str, *, in_place: bool) -> None:
        request, host = stream.request, self.decisions.host
        self._sink.append(
            records.eviction(host, request, reason, stream.output_tokens, in_place=in_place)
        )
        self._metrics.evicted(request, reason, in_place=in_place)

    def _on_progress(self, key: str, tokens: int) -> None:
        """All tokens that come before the owner's turn are one event: a step has many."""
        self.output_tokens += tokens
        if self._progress is None:
            self._progress = ev.Progressed({})
            self.post(self._progress)
        counts = self._progress.tokens
        counts[key] = counts.get(key, 0) + tokens

    async def _step(self, effect: fx.Fetch | fx.Sleep | fx.Wake | fx.Check | fx.Stop) -> None:
        match effect:
            case fx.Fetch(_, model):
                work = self.engines.fetch(model)
            case fx.Sleep(_, model, level, at_most_bytes):
                work = self.engines.sleep(model, level, at_most_bytes)
            case fx.Wake(_, model):
                work = self.engines.wake(model)
            case fx.Check(_, model, at_most_bytes):
                work = self.engines.check(model, at_most_bytes)
            case fx.Stop(_, model):
                work = self.engines.stop(model)
        self.post(ev.StepDone(effect.step, await _outcome(work)))

    async def _move(self, move: fx.Move) -> None:
        def moved() -> None:
            self.post(ev.Moved(move.model, move.tier))

        work = self.engines.move(move.model, move.tier, moved, move.at_most_bytes)
        error = await _outcome(work)
        if error is not None:
            self.post(ev.Moved(move.model, self.engines.resting_tier(move.model), error))
        log.info("tier changed", model=move.model, tier=move.tier, error=error)

    def _answer(self, answer: fx.Answer) -> None:
        future = self._answers.pop(answer.ticket)
        if future.done():
            return
        if answer.refusal is None:
            future.set_result(answer.report)
        else:
            future.set_exception(
                PlanRefused(
                    answer.refusal,
                    where=f"host {self.decisions.host}",
                    fix="Read the host's state and plan again.",
                )
            )

    def _swap_ended(self, command: SwapCommand | SwitchCommand, report: SwapReport) -> None:
        log.info(
            "hotswap ended",
            kind=report.kind,
            plan_id=report.plan_id,
            from_model=report.from_model,
            to_model=report.to_model,
            outcome=report.outcome,
            total_s=round(report.total_s, 3),
            handed_back=report.handed_back,
            error=report.error,
        )
        self._sink.append(records.swap(command, report))
        self._metrics.swapped(report)

    def _later(self, after_s: float, event: ev.Event) -> None:
        asyncio.get_running_loop().call_later(after_s, self.post, event)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        """How an effect ended is an event; one that ended without is the end of this owner."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._mailbox.put_nowait(_Broken(error))


async def _outcome(work: Coroutine[Any, Any, None]) -> str | None:
    """Do the work: None, or what went wrong. A step's failure is an event, whatever it was."""
    try:
        await work
    except Exception as error:
        log.exception("step failed")
        return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return None

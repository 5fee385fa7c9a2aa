"""Driving a generation to its end: lease a replica, send, take frames in, go on elsewhere.

Effects in the order that `serving.gateway.resume` decides. Tokens go to a sink, which turns
them into text; nothing of text is known here. Reading a stream is `serving.gateway.following`.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from serving.config import Fleet, GatewaySettings
from serving.errors import HostUnreachable, WireError
from serving.gateway.census import Census, Whereabouts
from serving.gateway.failures import no_replica, no_slot
from serving.gateway.following import follow
from serving.gateway.generation import Generation
from serving.gateway.intake import AttemptEnd, Intake, TokenSink
from serving.gateway.late_binding import LateBinding
from serving.gateway.lines.partials import Partials
from serving.gateway.lines.rates import BatchRates
from serving.gateway.lines.trials import Trials, refuse_poison
from serving.gateway.moving import HELD_GRACE_S, PrefillRates, patience_s
from serving.gateway.pool import Lease, Pool
from serving.gateway.queues import Place, Queues
from serving.gateway.resume import Continuation
from serving.gateway.streams import HostStreams
from serving.gateway.telling import Telling
from serving.gateway.trip import Trip
from serving.wire import GenerateRequest, Tokens

log = structlog.get_logger(__name__)


class AttemptRunner:
    """Runs generations against the fleet."""

    def __init__(
        self,
        pool: Pool,
        streams: HostStreams,
        census: Census,
        settings: GatewaySettings,
        *,
        batch_rates: BatchRates | None = None,
        partials: Partials | None = None,
        held_grace_s: float = HELD_GRACE_S,
    ) -> None:
        self._pool, self._streams, self._census = pool, streams, census
        self._settings, self._held_grace_s = settings, held_grace_s
        self._rates = PrefillRates()
        self._batch_rates = batch_rates or BatchRates()
        self._partials = Partials() if partials is None else partials
        self._trials = Trials(pool)
        self.queues = Queues(self._rates)
        """What waits, for whoever switches hosts for it."""
        self._late: LateBinding | None = None

    def bind_late(self, fleet: Fleet) -> None:
        """From now on interactive requests wait here for a replica that answers them in time.

        As long as some host is shared: a replica more comes in the time of a switch then.
        """
        self._late = LateBinding(fleet, self._pool, self.queues)

    async def run(self, generation: Generation, sink: TokenSink, *, replica_wait_s: float) -> None:
        """See `generation` through. Raises GenerationFailed."""
        trip = Trip(generation, self._settings, replica_wait_s=replica_wait_s)
        model, request_class = generation.model, generation.request_class
        with (
            Whereabouts(
                self._census, model, request_class, generation.work, generation.due_in_s
            ) as whereabouts,
            self.queues.place(model, request_class, lambda: generation.kept_tokens) as place,
            self._kept(generation, sink),
        ):
            try:
                refuse_poison(generation)
                await self._drive(trip, sink, whereabouts, place)
            finally:
                if (unused := trip.take_reserved()) is not None:
                    unused.close()

    @contextmanager
    def _kept(self, generation: Generation, sink: TokenSink) -> Iterator[None]:
        """What it gets is kept meanwhile; what an earlier one got is there to begin with."""
        if generation.checkpoint is None:
            yield
            return
        keeping = self._partials.keep(generation.checkpoint)
        try:
            if (restored := generation.keep(keeping)) is not None:
                taken = sink.deliver(restored, None)
                generation.drop_surplus(taken.surplus_tokens)
                generation.finished = taken.enough
            yield
        finally:
            keeping.leave(finished=generation.finished)

    async def _drive(
        self, trip: Trip, sink: TokenSink, whereabouts: Whereabouts, place: Place
    ) -> None:
        generation = trip.generation
        while not generation.finished:
            step = generation.next_step()
            if step.end is not None:
                sink.deliver(Tokens([]), step.end)
                generation.finished = True
                return
            if step.kind == "start_over":
                sink.start_over()
            end = await self._attempt(trip, step, sink, whereabouts, place)
            if generation.finished:
                return
            whereabouts.move("waiting")
            place.wait()
            self._judge(trip, end)

    async def _attempt(
        self,
        trip: Trip,
        step: Continuation,
        sink: TokenSink,
        whereabouts: Whereabouts,
        place: Place,
    ) -> AttemptEnd:
        generation, host = trip.generation, None
        try:
            with trip.take_reserved() or await self._lease(trip, place) as lease:
                host = lease.host.name
                place.taken(host)
                request = generation.begin_attempt(step, host)
                trip.begin(host)
                telling = self._telling(trip, host, whereabouts, place)
                intake = Intake(generation, sink, telling, slot_wait_s=trip.slot_wait_s)
                failure = await self._follow(trip, request, intake, lease)
                end = self._end(trip, lease, intake, failure)
                if end.kind == "failed":
                    self._trials.died(host, generation, host_gone=intake.end is None)
                return end
        finally:
            self._trials.end(host, generation)

    def _end(self, trip: Trip, lease: Lease, intake: Intake, failure: str) -> AttemptEnd:
        if trip.reserved is not None:
            return AttemptEnd("moved", f"held, and {trip.reserved.host.name} has a slot")
        if intake.end is not None:
            return intake.end
        if not lease.lost:
            self._pool.doubt(lease.host.name)
        return AttemptEnd("failed", failure)

    async def _follow(
        self, trip: Trip, request: GenerateRequest, intake: Intake, lease: Lease
    ) -> str:
        """Follow the stream; what went wrong, unless the intake or a reserved slot say its end."""
        opened = self._streams.open(lease.host, request)
        try:
            trip.reserved = await follow(
                opened, intake, lease, lambda: self._slot_elsewhere(trip.generation, lease)
            )
        except TimeoutError:
            return self._run_out(trip.generation, intake, lease)
        except (HostUnreachable, WireError) as error:
            return str(error)
        finally:
            trip.generation.leave()
        return f"{lease.host.name} closed the stream before its end"

    def _run_out(self, generation: Generation, intake: Intake, lease: Lease) -> str:
        """Why patience is over. Raises GenerationFailed for want of a slot, here and elsewhere."""
        model, host = generation.model, lease.host.name
        if lease.lost:
            return f"{host} was lost"
        if not intake.is_queued:
            return f"{host} fell silent"
        if self._pool.has_room_elsewhere(model, than=host):
            return f"{host} had no slot within {intake.slot_wait_s:.0f} s"
        raise no_slot(model, intake.slot_wait_s)

    async def _lease(self, trip: Trip, place: Place) -> Lease:
        generation = trip.generation
        try:
            alone = await self._trials.begin(generation, trip.replica_by)
            if alone is not None:
                return alone
            if self._late is not None and self._pool.shares and not place.is_answered:
                return await self._late.lease(place, avoid=trip.avoid, until=trip.replica_by)
            host = await self._pool.replica(
                generation.model,
                generation.request_class,
                avoid=trip.avoid,
                until=trip.replica_by,
            )
        except TimeoutError:
            raise no_replica(generation.model, time.monotonic() - trip.without_slot_since) from None
        return self._pool.lease(host, generation.request_class)

    async def _slot_elsewhere(self, generation: Generation, here: Lease) -> Lease:
        """Wait until a held generation is better off on another replica, and has a slot there."""
        patience = patience_s(
            kept_tokens=generation.kept_tokens,
            prefill_tokens_per_s=self._rates.tokens_per_s(generation.model),
            beside=self._pool.load_elsewhere(generation.model, than=here.host.name),
            grace_s=self._held_grace_s,
        )
        await asyncio.sleep(max(0.0, patience - generation.this_hold_s))
        return await self._pool.batch_slot_elsewhere(generation.model, than=here.host.name)

    def _telling(self, trip: Trip, host: str, whereabouts: Whereabouts, place: Place) -> Telling:
        return Telling(trip, host, whereabouts, place, self._rates, self._batch_rates, self._trials)

    def _judge(self, trip: Trip, end: AttemptEnd) -> None:
        generation = trip.generation
        log.info(
            "attempt_ended",
            request_id=generation.request_id,
            generation=generation.generation_id,
            host=generation.hosts[-1],
            how=end.kind,
            why=end.why,
            kept_tokens=len(generation.token_ids),
        )
        if end.kind == "handed_back" and end.why != "evicted":
            self._pool.doubt(generation.hosts[-1])
        refuse_poison(generation)
        trip.end(end)

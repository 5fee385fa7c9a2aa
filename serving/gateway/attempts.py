"""Driving a generation to its end: lease a replica, send, take frames in, go on elsewhere.

Effects in the order that `serving.gateway.resume` decides. Tokens go to a sink, which turns
them into text; nothing of text is known here.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import structlog

from serving.config import GatewaySettings, HostSettings
from serving.errors import HostUnreachable, WireError
from serving.gateway.census import Census, Whereabouts
from serving.gateway.failures import no_replica
from serving.gateway.generation import Generation
from serving.gateway.intake import QUEUED_SILENCE_S, AttemptEnd, Intake, TokenSink
from serving.gateway.pool import Lease, Pool
from serving.gateway.resume import Continuation
from serving.gateway.streams import HostStreams
from serving.gateway.trip import Trip
from serving.wire import Frame, Tokens

log = structlog.get_logger(__name__)


class AttemptRunner:
    """Runs generations against the fleet."""

    def __init__(
        self, pool: Pool, streams: HostStreams, census: Census, settings: GatewaySettings
    ) -> None:
        self._pool, self._streams, self._census = pool, streams, census
        self._settings = settings

    async def run(self, generation: Generation, sink: TokenSink, *, replica_wait_s: float) -> None:
        """See `generation` through. Raises GenerationFailed."""
        with Whereabouts(self._census, generation.model, generation.request_class) as whereabouts:
            trip = Trip(generation, replica_wait_s, self._settings.resume_wait_s)
            while not generation.finished:
                step = generation.next_step()
                if step.end is not None:
                    sink.deliver(Tokens([]), step.end)
                    generation.finished = True
                    return
                if step.kind == "start_over":
                    sink.start_over()
                end = await self._attempt(trip, step, sink, whereabouts)
                if generation.finished:
                    return
                whereabouts.move("waiting")
                self._judge(trip, end)

    async def _attempt(
        self, trip: Trip, step: Continuation, sink: TokenSink, whereabouts: Whereabouts
    ) -> AttemptEnd:
        generation = trip.generation

        def have_slot() -> None:
            trip.had_slot = True
            whereabouts.move("running")

        host = await self._replica(trip)
        with self._pool.lease(host, generation.request_class) as lease:
            request = generation.begin_attempt(step, host.name)
            trip.begin(host.name)
            intake = Intake(generation, sink, on_slot=have_slot, on_token=trip.progressed)
            opened = self._streams.open(host, request)
            try:
                await _follow(opened, intake, lease)
            except TimeoutError:
                failure = f"{host.name} " + ("was lost" if lease.lost else "fell silent")
            except (HostUnreachable, WireError) as error:
                failure = str(error)
            else:
                failure = f"{host.name} closed the stream before its end"
            if intake.end is not None:
                return intake.end
            if not lease.lost:
                self._pool.doubt(host.name)
            return AttemptEnd("failed", failure)

    async def _replica(self, trip: Trip) -> HostSettings:
        generation = trip.generation
        try:
            return await self._pool.replica(
                generation.model,
                generation.request_class,
                avoid=trip.avoid,
                until=trip.replica_by,
            )
        except TimeoutError:
            raise no_replica(generation.model, time.monotonic() - trip.without_slot_since) from None

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
        if end.kind == "handed_back":
            if end.why == "evicted":
                generation.evictions += 1
            else:
                self._pool.doubt(generation.hosts[-1])
        trip.end(end)


async def _follow(
    opened: AbstractAsyncContextManager[AsyncIterator[list[Frame]]], intake: Intake, lease: Lease
) -> None:
    """Take a stream in until it ends. Raises TimeoutError on silence, or when the host is lost."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(QUEUED_SILENCE_S) as patience:
        lease.lose = lambda: patience.reschedule(0)
        async with opened as portions:
            async for frames in portions:
                intake.take(frames)
                if intake.end is not None and intake.end.kind != "complete":
                    return
                patience.reschedule(loop.time() + intake.silence_s)

"""Finding the requests that kill engines: who is suspected is tried apart, who is poison refused.

The effects of `serving.gateway.lines.suspicion`: suspects of a model wait for their turn, one at a
time; a grave one gets a replica on which this gateway runs no other batch work. A suspect that gets
on is cleared, and the next one's turn comes at once.
"""

import asyncio
import time
from collections import defaultdict
from contextlib import suppress

import structlog

from serving.gateway.failures import poison
from serving.gateway.generation import Generation
from serving.gateway.lines.company import Company
from serving.gateway.pool import Lease, Pool

DRAIN_S = 60.0
"""So long a grave suspect waits for a replica to become empty; then it is tried beside others."""

log = structlog.get_logger(__name__)


class Trials:
    """Suspicions of batch generations, and the turns of the suspects."""

    def __init__(self, pool: Pool, *, drain_s: float = DRAIN_S) -> None:
        self._pool, self._drain_s = pool, drain_s
        self._company = Company()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._on_trial: dict[str, str] = {}
        """The model of each generation whose turn it is."""
        self._reserved: dict[str, str] = {}
        """The host that is kept empty for it."""

    async def begin(self, generation: Generation, until: float) -> Lease | None:
        """Wait for its turn until `until` (monotonic), if it is suspected; maybe it gets a place.

        Raises TimeoutError.
        """
        if not generation.suspicion.is_suspect or generation.generation_id in self._on_trial:
            return None
        async with asyncio.timeout(until - time.monotonic()):
            await self._turns[generation.model].acquire()
        self._on_trial[generation.generation_id] = generation.model
        if not generation.suspicion.needs_engine_alone:
            return None
        return await self._place_alone(generation, until)

    async def _place_alone(self, generation: Generation, until: float) -> Lease:
        host = await self._pool.replica(generation.model, "batch", avoid=frozenset(), until=until)
        self._reserved[generation.generation_id] = host.name
        self._pool.reserve(host.name)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_s):
                await self._pool.free_of_batch(host.name)
        return self._pool.lease(host, "batch")

    def computes(self, host: str, generation: Generation) -> None:
        """It has a slot."""
        self._company.computes(host, generation.generation_id)

    def rests(self, host: str, generation: Generation) -> None:
        """It is held."""
        self._company.rests(host, generation.generation_id)

    def got_on(self, host: str, generation: Generation) -> None:
        """It has new tokens: if they clear it, the next suspect's turn comes."""
        self._company.got_token(host, generation.generation_id)
        if generation.suspicion.deaths:
            generation.suspect(generation.suspicion.got_to(len(generation.token_ids)))
            if not generation.suspicion.is_suspect:
                self._end_turn(generation)

    def died(self, host: str, generation: Generation, *, host_gone: bool) -> None:
        """Its attempt failed; if it computed then, its engine is taken to have died.

        `host_gone`: the host did not say so, its stream ended.
        """
        company = self._company.died(host, generation.generation_id)
        if company is None or generation.request_class != "batch":
            return
        at_tokens = len(generation.token_ids)
        generation.suspect(
            generation.suspicion.died(at_tokens=at_tokens, company=company, host_gone=host_gone)
        )
        log.warning(
            "engine_died_under",
            host=host,
            request_id=generation.request_id,
            generation=generation.generation_id,
            company=company,
            host_gone=host_gone,
            deaths=generation.suspicion.deaths,
        )

    def end(self, host: str | None, generation: Generation) -> None:
        """Its attempt is over, or there was none."""
        if host is not None:
            self._company.rests(host, generation.generation_id)
        self._end_turn(generation)

    def _end_turn(self, generation: Generation) -> None:
        reserved = self._reserved.pop(generation.generation_id, None)
        if reserved is not None:
            self._pool.open_again(reserved)
        model = self._on_trial.pop(generation.generation_id, None)
        if model is not None:
            self._turns[model].release()


def refuse_poison(generation: Generation) -> None:
    """Raises GenerationFailed for one that kills engines."""
    if generation.suspicion.is_poison:
        raise poison(generation.model, generation.suspicion.deaths)

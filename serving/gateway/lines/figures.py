"""What the gateway can say of batch work: slots on offer, rates, and how long a batch would take.

Reads pool and census, samples the rates, and looks for measured profiles. The arithmetic is in
`offers`, `rates` and `work`.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import structlog

from analytics.events import RequestEnded
from serving.config import Fleet
from serving.gateway.census import Census
from serving.gateway.lines.offers import BatchOffer, batch_offer
from serving.gateway.lines.rates import BatchRates
from serving.gateway.lines.work import Duration, Speed, Volume, duration
from serving.gateway.pool import Pool
from serving.wire import BatchSizeProfile

SAMPLE_EVERY_S = 2.0

log = structlog.get_logger(__name__)


class BatchFigures:
    """Batch work of every model, as this gateway sees it."""

    def __init__(self, fleet: Fleet, pool: Pool, census: Census, profiles: Path) -> None:
        self._fleet, self._pool, self._census = fleet, pool, census
        self._profiles = profiles
        self.rates = BatchRates()

    async def run(self) -> None:
        """Sample the rates until cancelled."""
        while True:
            await asyncio.sleep(SAMPLE_EVERY_S)
            for model in self._fleet.models:
                self.rates.sample(model.name, self.offer(model.name), time.monotonic())

    def ended(self, event: RequestEnded) -> None:
        """A request ended."""
        if event.request_class == "batch" and event.outcome == "completed":
            self.rates.ended(event.model, event.output_tokens)

    def offer(self, model: str) -> BatchOffer:
        """What the model's replicas offer to batch now."""
        in_flight = sum(self._census.count(at, model, "batch") for at in ("waiting", "running"))
        return batch_offer(self._pool.loads(model), in_flight)

    def duration(self, model: str, volume: Volume, *, ahead: float = 0.0) -> Duration:
        """How long a batch would take behind `ahead` work tokens of others. Reads small files."""
        return duration(volume, self._speed(model), ahead=ahead)

    def told(self, model: str) -> dict[str, Any]:
        """For `GET /fleet`."""
        offer = self.offer(model)
        return {
            "slots": offer.slots,
            "slots_at_rest": offer.slots_at_rest,
            "in_flight": offer.in_flight,
            "works": self._census.works(model),
            "due_per_s": self._census.due_per_s(model),
            "work_tokens_per_s": self.rates.work_tokens_per_s(model),
            "mean_output_tokens": self.rates.mean_output_tokens(model),
        }

    def _speed(self, model: str) -> Speed:
        measured = self.rates.work_tokens_per_s(model)
        alone = self.rates.alone_work_tokens_per_s(model)
        profiled = max(self._profiled(model), default=None)
        stated = self._fleet.model(model).replica_tokens_per_s
        return Speed(
            replicas=len(self._pool.replicas(model)),
            most_replicas=len(self._fleet.hosts),
            work_tokens_per_s=measured or profiled or stated,
            most_work_tokens_per_s=max(filter(None, (alone, profiled)), default=None),
            mean_output_tokens=self.rates.mean_output_tokens(model),
        )

    def _profiled(self, model: str) -> Iterator[float]:
        """What a full batch of the model was measured to make, on every kind of hardware."""
        for file in self._profiles.glob("*.json"):
            try:
                profile = msgspec.json.decode(file.read_bytes(), type=BatchSizeProfile)
            except (OSError, msgspec.DecodeError) as error:
                log.warning("a profile is unreadable", file=str(file), error=str(error))
                continue
            if profile.model == model:
                yield max(point.tokens_per_s for point in profile.points)

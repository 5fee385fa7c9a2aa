"""Telling those who keep count how an attempt gets on: census, queues, rates.

Holds no state of its own. Frames are read by `serving.gateway.intake`.
"""

from dataclasses import dataclass

from serving.gateway.census import Whereabouts
from serving.gateway.lines.rates import BatchRates
from serving.gateway.moving import PrefillRates
from serving.gateway.queues import Place
from serving.gateway.trip import Trip
from serving.wire import Tokens


@dataclass(frozen=True)
class Telling:
    """The progress (`intake.Progress`) of one attempt."""

    trip: Trip
    whereabouts: Whereabouts
    place: Place
    prefill_rates: PrefillRates
    batch_rates: BatchRates

    def slot(self) -> None:
        """It has a slot, for the first time or again."""
        self.trip.had_slot = True
        self.whereabouts.move("running")

    def held(self) -> None:
        """It lost its slot, and may get it again."""
        self.whereabouts.move("waiting")

    def prefilled(self, tokens: int, seconds: float) -> None:
        """From its first slot to its first token it took `seconds` to compute `tokens`."""
        self.prefill_rates.seen(self.trip.generation.model, tokens, seconds)

    def tokens(self, fresh: Tokens) -> None:
        """Tokens came that were not there before."""
        self.trip.progressed()
        self.place.answered()
        generation = self.trip.generation
        if generation.request_class == "batch":
            first = len(generation.token_ids) == len(fresh.token_ids)
            prompt_tokens = len(generation.prompt_token_ids) if first else 0
            self.batch_rates.computed(
                generation.model, prompt_tokens=prompt_tokens, output_tokens=len(fresh.token_ids)
            )

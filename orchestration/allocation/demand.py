"""Demand: how much work is offered to each model, and how many requests wait for it.

Offered work is what was served (prompt and output tokens per second) plus what waits, taken as
if it should be served within the window. Without it, a saturated model would look content.
Batch generations that are held to make room for interactive ones wait too, half done.
"""

from collections.abc import Iterable, Mapping

import msgspec

from analytics.forecast import LoadForecast
from analytics.traffic import ModelTraffic
from serving.config import Fleet
from serving.wire import HostState

ASSUMED_REQUEST_TOKENS = 256.0
"""Tokens of a request (prompt and output) while none of its model and class has ended."""

HELD_LEFT = 0.5
"""Share of its work that a held generation is taken to have before it."""


class ModelDemand(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of one model now."""

    interactive_tokens_per_s: float = 0.0
    batch_tokens_per_s: float = 0.0
    waiting_interactive: int = 0
    waiting_batch: int = 0
    """With those that are held."""
    running_interactive: int = 0
    running_batch: int = 0
    held_batch: int = 0
    """Batch generations evicted in place now."""
    capped_replicas: float = 0.0
    """Replicas on which interactive work held the batch to the cap, mean over the window."""
    mean_cap: float | None = None
    """The cap it was held to."""
    activity: float | None = None
    """Share of the last hour with an interactive request present; None: not known."""
    usual_tokens_per_s: float = 0.0
    """Interactive work that arrived, averaged over about half an hour."""

    @property
    def present_now(self) -> bool:
        """A request for the model waits or runs at this moment."""
        return bool(
            self.waiting_interactive
            or self.waiting_batch
            or self.running_interactive
            or self.running_batch
        )

    @property
    def interactive_present(self) -> bool:
        """Somebody talks to the model: requests wait, run, or were served in the window."""
        return bool(
            self.waiting_interactive or self.running_interactive or self.interactive_tokens_per_s
        )

    @property
    def batch_present(self) -> bool:
        """There is batch work for the model, waiting, running or just served."""
        return bool(self.waiting_batch or self.running_batch or self.batch_tokens_per_s)


def offered_work(
    fleet: Fleet,
    traffic: Iterable[ModelTraffic],
    states: Mapping[str, HostState | None],
    forecasts: Mapping[str, LoadForecast] | None = None,
) -> dict[str, ModelDemand]:
    """Demand of every model of the fleet; traffic of models it does not know is left out.

    Hosts say what runs on them, the gateway's statistics may lag or be away: the larger count
    is taken. `forecasts` are of interactive requests, by model.
    """
    rows = {(row.model, row.request_class): row for row in traffic}
    demand = {}
    for model in fleet.models:
        awake = [s for s in states.values() if s is not None and s.awake_model == model.name]
        interactive = rows.get((model.name, "interactive"))
        batch = rows.get((model.name, "batch"))
        held = sum(state.held for state in awake)
        forecast = (forecasts or {}).get(model.name)
        demand[model.name] = ModelDemand(
            interactive_tokens_per_s=_tokens_per_s(interactive),
            batch_tokens_per_s=_tokens_per_s(batch, held),
            waiting_interactive=max(
                interactive.waiting if interactive else 0,
                sum(state.waiting.interactive for state in awake),
            ),
            waiting_batch=max(
                batch.waiting if batch else 0, held + sum(state.waiting.batch for state in awake)
            ),
            running_interactive=max(
                interactive.running if interactive else 0,
                sum(state.running.interactive for state in awake),
            ),
            running_batch=max(
                batch.running if batch else 0, sum(state.running.batch for state in awake)
            ),
            held_batch=held,
            capped_replicas=batch.capped_replicas if batch else 0.0,
            mean_cap=batch.mean_cap if batch else None,
            activity=forecast.activity if forecast else None,
            usual_tokens_per_s=forecast.long_tokens_per_s if forecast else 0.0,
        )
    return demand


def _tokens_per_s(row: ModelTraffic | None, held: int = 0) -> float:
    """Served and waiting work of one model and class; of those waiting, `held` are held now.

    How many are held changes with every burst of interactive work: their mean counts.
    """
    if row is None:
        return 0.0
    served = row.prompt_tokens_per_s + row.output_tokens_per_s
    per_request = served * row.window_s / row.ended if row.ended and served else None
    waiting = max(0, row.waiting - held) + HELD_LEFT * row.held
    return served + waiting * (per_request or ASSUMED_REQUEST_TOKENS) / row.window_s

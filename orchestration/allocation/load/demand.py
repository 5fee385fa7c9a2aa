"""Demand: how much work is offered to each model, and how many requests wait for it.

Offered work is what was served (prompt and output tokens per second) plus what waits, taken as
if it should be served within the window. Without it, a saturated model would look content.
Batch generations that are held to make room for interactive ones wait too, half done.

Beside what is there now stands what is to be expected: the forecast of what arrives.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from analytics.forecast import LoadForecast
from analytics.traffic import ModelTraffic
from serving.config import Fleet
from serving.wire import HostState

ASSUMED_REQUEST_TOKENS = 256.0
"""Tokens of a request (prompt and output) while none of its model and class has ended."""

HELD_LEFT = 0.5
"""Share of its work that a held generation is taken to have before it."""


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """A load that is to be expected over the planner's horizon."""

    mean_tokens_per_s: float = 0.0
    sd_tokens_per_s: float = 0.0
    """Of the mean over the horizon: by chance, and by what forecasts have been wrong so far."""


class BatchBacklog(msgspec.Struct, frozen=True, kw_only=True):
    """The batch requests of one model that have not ended."""

    requests: int
    due_requests_per_s: float
    """The least rate at which all deadlines are kept; 0 without deadlines."""


class ModelDemand(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of one model now, and what is to be expected."""

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
    interactive_expected: Expected = Expected()
    """Interactive load to be served: what will arrive, and what waits; the load of now where
    nothing is forecast."""
    batch_expected: Expected = Expected()
    batch_backlog_tokens: float = 0.0
    """Work of the batch requests that have not ended, those running included."""
    batch_due_tokens_per_s: float = 0.0
    """The least rate of batch work at which all deadlines are kept."""
    activity: float | None = None
    """Share of the last hour or so in which a request of the model was present; None: not known."""
    usual_tokens_per_s: float = 0.0
    """Interactive work that arrived, averaged over about half an hour; 0 while not known."""
    peak_interactive: float = 0.0
    """Most interactive requests present at once in the last hour or so."""
    peak_batch: float = 0.0

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


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What the traffic statistics say of the time to come."""

    forecasts: Mapping[tuple[str, str], LoadForecast] = {}
    """By model and class."""
    backlog: Mapping[str, BatchBacklog] = {}
    """By model."""


NO_OUTLOOK = Outlook()


def offered_work(
    fleet: Fleet,
    traffic: Iterable[ModelTraffic],
    states: Mapping[str, HostState | None],
    outlook: Outlook = NO_OUTLOOK,
) -> dict[str, ModelDemand]:
    """Demand of every model of the fleet; traffic of models it does not know is left out.

    Hosts say what runs on them, the gateway's statistics may lag or be away: the larger count
    is taken.
    """
    rows = {(row.model, row.request_class): row for row in traffic}
    by_model: dict[str, list[HostState]] = defaultdict(list)
    for state in states.values():
        if state is not None and state.awake_model is not None:
            by_model[state.awake_model].append(state)
    demand = {}
    for model in fleet.models:
        awake = by_model[model.name]
        interactive = rows.get((model.name, "interactive"))
        batch = rows.get((model.name, "batch"))
        now = _present(interactive, batch, awake)
        demand[model.name] = _with_outlook(now, interactive, model.name, outlook)
    return demand


def _present(
    interactive: ModelTraffic | None, batch: ModelTraffic | None, awake: Sequence[HostState]
) -> ModelDemand:
    """What is there now, as the statistics and the model's replicas tell."""
    held = sum(state.held for state in awake)
    return ModelDemand(
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
    )


def _with_outlook(
    now: ModelDemand, row: ModelTraffic | None, model: str, outlook: Outlook
) -> ModelDemand:
    """What is to be expected added; without a forecast, that all stays as it is."""
    interactive = outlook.forecasts.get((model, "interactive"))
    batch = outlook.forecasts.get((model, "batch"))
    backlog = outlook.backlog.get(model)
    request_tokens = batch.request_tokens if batch is not None else ASSUMED_REQUEST_TOKENS
    unended = max(backlog.requests if backlog else 0, now.waiting_batch + now.running_batch)
    return replace(
        now,
        interactive_expected=_to_be_served(row, interactive),
        batch_expected=_expected(batch, now.batch_tokens_per_s),
        batch_backlog_tokens=unended * request_tokens,
        batch_due_tokens_per_s=backlog.due_requests_per_s * request_tokens if backlog else 0.0,
        activity=_activity(interactive, batch),
        usual_tokens_per_s=interactive.long_tokens_per_s if interactive else 0.0,
        peak_interactive=max(
            interactive.peak_concurrency if interactive else 0.0,
            now.waiting_interactive + now.running_interactive,
        ),
        peak_batch=max(
            batch.peak_concurrency if batch else 0.0, now.waiting_batch + now.running_batch
        ),
    )


def _to_be_served(row: ModelTraffic | None, forecast: LoadForecast | None) -> Expected:
    """What is to come, by the forecast or else as in the window, and what waits."""
    served, waiting = Expected(), 0.0
    if row is not None:
        waiting = _waiting_tokens_per_s(row)
        mean = row.prompt_tokens_per_s + row.output_tokens_per_s
        # So many requests of varied length: compound Poisson, lengths as varied as they are long.
        by_chance = mean * math.sqrt(2.0 / max(1, row.ended))
        served = Expected(mean_tokens_per_s=mean, sd_tokens_per_s=by_chance)
    coming = served if forecast is None else _expected(forecast, 0.0)
    return replace(coming, mean_tokens_per_s=coming.mean_tokens_per_s + waiting)


def _expected(forecast: LoadForecast | None, now_tokens_per_s: float) -> Expected:
    if forecast is None:
        return Expected(mean_tokens_per_s=now_tokens_per_s)
    return Expected(
        mean_tokens_per_s=forecast.mean_tokens_per_s, sd_tokens_per_s=forecast.sd_tokens_per_s
    )


def _activity(interactive: LoadForecast | None, batch: LoadForecast | None) -> float | None:
    """Of both classes, as if they came independently."""
    known = [forecast for forecast in (interactive, batch) if forecast is not None]
    if not known:
        return None
    return 1.0 - math.prod(1.0 - forecast.activity for forecast in known)


def _tokens_per_s(row: ModelTraffic | None, held: int = 0) -> float:
    """Served and waiting work of one model and class; of those waiting, `held` are held now.

    How many are held changes with every burst of interactive work: their mean counts.
    """
    if row is None:
        return 0.0
    served = row.prompt_tokens_per_s + row.output_tokens_per_s
    return served + _waiting_tokens_per_s(row, held)


def _waiting_tokens_per_s(row: ModelTraffic, held: int = 0) -> float:
    """Work that waits, as if it should be served within the window."""
    served = row.prompt_tokens_per_s + row.output_tokens_per_s
    per_request = served * row.window_s / row.ended if row.ended and served else None
    waiting = max(0, row.waiting - held) + HELD_LEFT * row.held
    return waiting * (per_request or ASSUMED_REQUEST_TOKENS) / row.window_s

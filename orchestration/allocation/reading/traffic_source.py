"""Reading the traffic store for the planner: statistics of now, forecasts, and what swaps cost.

A store that is away or does not answer costs a look little time and no decision: the last view goes
on, less what was said of that very moment, for as long as it can be believed, and says so.
"""

import functools
import threading
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from analytics.errors import StoreUnreachable
from analytics.history import LoadHistory
from analytics.traffic import ModelTraffic, TrafficReader
from orchestration.allocation.load.demand import NO_OUTLOOK, BatchBacklog, Outlook
from orchestration.allocation.operators.setbacks import Setback
from orchestration.allocation.placing.swap_cost import SwapCost, assumed_swap_cost
from orchestration.allocation.placing.swap_costs import SWAP_SECONDS, SwapRecord, learned_swap_cost
from serving.config import Fleet, StateFolder

ANSWER_S = 15.0
"""A run waits no longer for the store, so that it plans with what there is."""
LOOK_ANSWER_S = 5.0
"""A look waits less: there is another one soon."""
LONGEST_REST_S = 60.0
"""After a failed read the store is left alone for as long as that took, after each further one for
twice as long, but not longer than this: each read that hangs costs a thread."""
BELIEVED_S = 120.0
"""How long the last view stands for a store that is away."""
SLOW_READS_EVERY_S = 5.0
"""Forecasts, backlog and swap costs change slowly: they are read this often."""

CLASSES = ("interactive", "batch")
LAST_SWAPS = (
    "SELECT host, max(ended_at) AS at FROM swaps "
    "WHERE outcome = 'committed' AND coalesce(kind, 'planned') = 'planned' GROUP BY host"
)
"""A switch within a host's grant is no reason to leave the host alone."""
SETBACKS = "SELECT host, model, times, last_at FROM swap_setbacks"
BACKLOG = "SELECT model, requests, due_requests_per_s FROM batch_backlog"


class TrafficView(msgspec.Struct, frozen=True, kw_only=True):
    """What the traffic store said at one moment."""

    rows: list[ModelTraffic] = []
    swapped_at: dict[str, float] = {}
    """When each host was last given a model."""
    setbacks: list[Setback] = []
    """Hotswaps that failed lately."""
    outlook: Outlook = NO_OUTLOOK
    swap_cost: SwapCost = assumed_swap_cost
    error: str | None = None
    """Why there is none of this, or why it is old, if so."""


class Asked(NamedTuple):
    """What is asked, and where."""

    address: str
    port: int
    token: str
    models: tuple[str, ...]
    window_s: float
    horizon_s: float

    @classmethod
    def of(cls, fleet: Fleet, state: StateFolder) -> "Asked":
        """What the planner of this installation wants to know."""
        return cls(
            fleet.store.address,
            fleet.store.port,
            state.token("store"),
            tuple(model.name for model in fleet.models),
            fleet.allocation.window_s,
            fleet.allocation.horizon_s,
        )


class TrafficSource:
    """The traffic statistics as the planner wants them; reconnects by itself. Thread-safe."""

    def __init__(self, asked: Asked, *, answer_s: float) -> None:
        self._asked, self._answer_s = asked, answer_s
        self._history = LoadHistory([(m, c) for m in asked.models for c in CLASSES])
        self._lock = threading.Lock()
        self._reader: TrafficReader | None = None
        self._last = TrafficView()
        self._read_at = float("-inf")
        self._slowly_read_at = float("-inf")
        self._failures = 0
        self._rest_until = float("-inf")

    def read(self) -> TrafficView:
        """What the store says now, or said last, and why, if so."""
        with self._lock:
            began = time.monotonic()
            if began < self._rest_until:
                return self._without_store(began)
            try:
                self._last = self._read()
            except StoreUnreachable as error:
                self._rest(began)
                self._last = msgspec.structs.replace(self._last, error=str(error))
                return self._without_store(began)
            self._read_at, self._failures = began, 0
            return self._last

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            self._hang_up()

    def _read(self) -> TrafficView:
        if self._reader is None:
            place = (self._asked.address, self._asked.port, self._asked.token)
            self._reader = TrafficReader(*place, timeout_s=self._answer_s)
        rows = self._reader.model_traffic(self._asked.window_s)
        swaps = self._reader.query(LAST_SWAPS)
        setbacks = self._reader.query(SETBACKS)
        outlook, swap_cost = self._last.outlook, self._last.swap_cost
        if time.monotonic() - self._slowly_read_at >= SLOW_READS_EVERY_S:
            swap_cost = _swap_cost(self._reader)
            outlook = self._outlook(self._reader)
            self._slowly_read_at = time.monotonic()
        return TrafficView(
            rows=rows,
            swapped_at=dict(swaps.iter_rows()),
            setbacks=[Setback(**row) for row in setbacks.iter_rows(named=True)],
            outlook=outlook,
            swap_cost=swap_cost,
        )

    def _outlook(self, reader: TrafficReader) -> Outlook:
        backlog = reader.query(BACKLOG)
        return Outlook(
            forecasts=self._history.forecasts(reader, time.time(), self._asked.horizon_s),
            backlog={
                model: BatchBacklog(requests=requests, due_requests_per_s=due)
                for model, requests, due in backlog.iter_rows()
            },
        )

    def _without_store(self, now: float) -> TrafficView:
        """The last view while it is believed; what waited or ran then is not known any more."""
        age_s = now - self._read_at
        if age_s > BELIEVED_S:
            return TrafficView(error=self._last.error)
        past = [msgspec.structs.replace(row, waiting=0, running=0) for row in self._last.rows]
        error = f"{self._last.error} Statistics of {age_s:.0f} s ago are used."
        return msgspec.structs.replace(self._last, rows=past, error=error)

    def _rest(self, began: float) -> None:
        self._hang_up()
        ended = time.monotonic()
        rest_s = (ended - began) * 2.0 ** min(self._failures, 10)
        self._rest_until = ended + min(LONGEST_REST_S, rest_s)
        self._failures += 1

    def _hang_up(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _swap_cost(reader: TrafficReader) -> SwapCost:
    records = reader.query(SWAP_SECONDS)
    return learned_swap_cost(SwapRecord(*row) for row in records.iter_rows())


def shared_source(fleet: Fleet, state: StateFolder) -> TrafficSource:
    """One source a process and installation: forecasts go on from one look to the next."""
    return _shared(state.root, Asked.of(fleet, state))


@functools.lru_cache(maxsize=4)
def _shared(_root: Path, asked: Asked) -> TrafficSource:
    return TrafficSource(asked, answer_s=LOOK_ANSWER_S)

"""Reading the traffic statistics: what the control plane and the status table are told."""

import time
from types import TracebackType
from typing import Any, Self

import msgspec
import polars

from analytics.client import StoreClient
from analytics.errors import StoreUnreachable


class ModelTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """One model's traffic of one class over the last `window_s` seconds."""

    model: str
    request_class: str
    window_s: float
    arrivals: int
    ended: int
    failed: int
    waiting: int
    """Requests without a slot now."""
    running: int
    """Requests with a slot now."""
    prompt_tokens_per_s: float
    output_tokens_per_s: float
    ttft_p50_s: float | None
    ttft_p95_s: float | None
    tpot_p50_s: float | None
    tpot_p95_s: float | None
    queue_p95_s: float | None
    evictions: int
    recomputed_tokens: int
    evictions_in_place: int = 0
    """Of the evictions, those that kept the generation on its engine."""
    held_s: float = 0.0
    """How long the requests that ended were evicted in place, together."""
    held: float = 0.0
    """Batch generations evicted in place, mean over the window."""
    capped_replicas: float = 0.0
    """Batch only: hosts whose batch was held to the interactive cap, mean over the window."""
    mean_cap: float | None = None
    """Batch only: the cap it was held to, mean; None if it was not."""


class TrafficReader:
    """Reads the store's views and macros. Not thread-safe; connects when first asked."""

    def __init__(self, address: str, port: int, token: str) -> None:
        self._client = StoreClient(address, port, token)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def model_traffic(self, window_s: float) -> list[ModelTraffic]:
        """Statistics of every model and class seen in the last `window_s` seconds."""
        rows = self.query("FROM model_traffic($window_s)", {"window_s": float(window_s)})
        return [msgspec.convert(row, ModelTraffic) for row in rows.iter_rows(named=True)]

    def query(self, sql: str, params: dict[str, Any] | None = None) -> polars.DataFrame:
        """Run one statement inside the store; `params` are named in it as `$name`.

        Raises StoreUnreachable or StoreRefused.
        """
        return self._client.run(sql, params).pl()

    def wait_ready(self, timeout_s: float) -> None:
        """Return once the store answers; raise its StoreUnreachable after `timeout_s`.

        A refusal (a wrong token) is raised at once.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self._client.run("SELECT 1").fetchall()
            except StoreUnreachable:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def close(self) -> None:
        """End the connection."""
        self._client.close()

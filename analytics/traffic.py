"""Reading the traffic statistics: what the control plane and the status table are told."""

import msgspec


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

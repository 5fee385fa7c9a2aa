"""Events of every kind with plain values, to be changed where a test cares."""

import time
from typing import Any

from analytics.events import (
    BatchSizePoint,
    EngineSample,
    Evaluation,
    Event,
    Eviction,
    GatewaySample,
    PlanMade,
    RequestArrived,
    RequestEnded,
    Swap,
)

NOW = float(int(time.time()))
"""Recent, so that a store that starts does not remove it as old."""


def arrived(**changes: Any) -> RequestArrived:
    values = {
        "arrived_at": NOW,
        "request_id": "r1",
        "model": "m",
        "request_class": "interactive",
        "endpoint": "/v1/chat/completions",
    }
    return RequestArrived(**{**values, **changes})


def ended(**changes: Any) -> RequestEnded:
    values = {
        "ended_at": NOW,
        "arrived_at": NOW - 2,
        "request_id": "r1",
        "model": "m",
        "request_class": "interactive",
        "endpoint": "/v1/chat/completions",
        "outcome": "completed",
        "status": 200,
        "queue_s": 0.1,
        "ttft_s": 0.5,
        "tpot_s": 0.02,
        "total_s": 2.0,
        "prompt_tokens": 10,
        "output_tokens": 20,
        "cached_tokens": 0,
        "recomputed_tokens": 0,
        "attempts": 1,
        "evictions": 0,
        "hosts": ["host-0"],
    }
    return RequestEnded(**{**values, **changes})


def gateway_sample(**changes: Any) -> GatewaySample:
    values = {
        "sampled_at": NOW,
        "model": "m",
        "request_class": "interactive",
        "waiting": 0,
        "running": 0,
    }
    return GatewaySample(**{**values, **changes})


def engine_sample(**changes: Any) -> EngineSample:
    values = {
        "sampled_at": NOW,
        "host": "host-0",
        "awake_model": "m",
        "phase": "serving",
        "running_interactive": 1,
        "running_batch": 2,
        "waiting_interactive": 0,
        "waiting_batch": 3,
        "slots": 8,
        "interactive_cap": 4,
        "output_tokens": 50,
        "memory_bytes": 2**30,
    }
    return EngineSample(**{**values, **changes})


def eviction(**changes: Any) -> Eviction:
    values = {
        "evicted_at": NOW,
        "host": "host-0",
        "model": "m",
        "request_id": "r1",
        "reason": "evicted",
        "kept_tokens": 7,
    }
    return Eviction(**{**values, **changes})


def swap(**changes: Any) -> Swap:
    values = {
        "ended_at": NOW,
        "host": "host-0",
        "plan_id": 3,
        "reason": "2 requests wait",
        "from_model": None,
        "to_model": "m",
        "from_tier": "asleep",
        "outcome": "committed",
        "total_s": 0.5,
        "phases_s": {"fence": 0.1, "wake": 0.4},
        "handed_back": 1,
    }
    return Swap(**{**values, **changes})


def plan(**changes: Any) -> PlanMade:
    values = {
        "made_at": NOW,
        "plan_id": 3,
        "trigger": "sensor",
        "run_id": None,
        "moves": [{"host": "host-0", "from_model": "a", "to_model": "b", "reason": "it's needed"}],
        "replicas": {"a": 1, "b": 1},
    }
    return PlanMade(**{**values, **changes})


def evaluation(**changes: Any) -> Evaluation:
    values = {
        "evaluated_at": NOW,
        "plan_id": 3,
        "because": "nothing to move. a stays",
        "wanted": "",
        "verdicts": {"a": "stays"},
        "replicas": {"a": 1, "b": 1},
        "overrides": ["planned moves are frozen"],
    }
    return Evaluation(**{**values, **changes})


def batch_size_point(**changes: Any) -> BatchSizePoint:
    values = {
        "measured_at": NOW,
        "model": "m",
        "hardware": "a machine",
        "host": "host-0",
        "run_id": "run",
        "batch_size": 4,
        "prompt_tokens": 128,
        "output_tokens": 48,
        "tokens_per_s": 150.0,
        "tpot_p50_s": 0.03,
        "tpot_p99_s": 0.04,
        "ttft_p50_s": 0.1,
        "ttft_p99_s": 0.2,
        "disturbed": 0,
    }
    return BatchSizePoint(**{**values, **changes})


def one_of_each() -> list[Event]:
    return [
        arrived(),
        ended(),
        gateway_sample(),
        engine_sample(),
        eviction(),
        swap(),
        plan(),
        evaluation(),
        batch_size_point(),
    ]

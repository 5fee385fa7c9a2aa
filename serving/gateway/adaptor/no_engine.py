"""The part of vLLM's engine interface that a fleet has no use for, refused as a whole.

One engine's pause, sleep, adapters and caches are not a client's business here. The methods are
taken from vLLM's abstract class, so that one it adds is refused too and not left abstract.
"""

from collections.abc import Callable
from typing import Any

from vllm.engine.protocol import EngineClient

IMPLEMENTED = frozenset(
    {
        "generate",
        "is_running",
        "is_stopped",
        "errored",
        "dead_error",
        "abort",
        "is_tracing_enabled",
        "do_log_stats",
        "check_health",
        "shutdown",
    }
)


def _refusal(name: str) -> Callable[..., Any]:
    async def refused(_self: object, *_args: object, **_kwargs: object) -> None:
        raise NotImplementedError(f"{name} is not offered by a fleet of engines")

    return refused


WithoutEngine: Any = type(
    "WithoutEngine",
    (EngineClient,),
    {name: _refusal(name) for name in EngineClient.__abstractmethods__ - IMPLEMENTED},
)
"""Base of an engine client that has no engine; a subclass brings what is IMPLEMENTED."""

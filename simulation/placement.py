"""Where a modelled gateway sends a request: which replica gives it a slot, or none yet."""

from collections.abc import Iterable
from dataclasses import dataclass

from simulation.engine import Engine, Request
from simulation.host import Host


@dataclass(frozen=True)
class HoldBack:
    """The way of Turntable's gateway: prompts wait in front of the engines, not on them.

    Without it, requests go to the least busy replica as soon as it has a slot, in their order.
    """

    patience_s: float
    """An engine gets no further prompt while so much of prompts is before it."""
    ttft_s: float
    """By when a request is due: those that can be in time go before those that cannot."""


def least_busy(request: Request, replicas: Iterable[Host], batch_cap: int) -> Host | None:
    """The replica with the fewest requests, if it has a slot."""
    return min(
        (host for host in replicas if _takes(_engine(host), request, batch_cap)),
        key=lambda host: _busyness(_engine(host), request),
        default=None,
    )


def in_time(
    request: Request,
    replicas: Iterable[Host],
    batch_cap: int,
    *,
    most_prompt_tokens: float,
) -> Host | None:
    """A host of the model's own before shared ones; of those the busiest, so that others go idle.

    None while all have more prompts before them than can be answered in time.
    """
    if request.batch:
        return least_busy(request, replicas, batch_cap)
    return min(
        (
            host
            for host in replicas
            if _engine(host).prompt_tokens <= most_prompt_tokens
            and _takes(_engine(host), request, batch_cap)
        ),
        key=_own_first,
        default=None,
    )


def _own_first(host: Host) -> tuple[bool, int]:
    interactive = _engine(host).interactive
    return (True, -interactive) if len(host.grant) > 1 else (False, interactive)


def _takes(engine: Engine, request: Request, batch_cap: int) -> bool:
    if engine.free_slots <= 0:
        return False
    return not (request.batch and engine.interactive and engine.running >= batch_cap)


def _busyness(engine: Engine, request: Request) -> tuple[int, int]:
    return engine.running if request.batch else engine.interactive, engine.running


def _engine(host: Host) -> Engine:
    assert host.engine is not None
    return host.engine

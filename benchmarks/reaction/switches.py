"""Bursts for a model that a shared host may switch to, each timed to its first token.

No plan is made for them: the gateway switches the host within its grant.
"""

import time
from dataclasses import dataclass
from typing import Any

from analytics.traffic import TrafficReader
from benchmarks.instance import Instance
from benchmarks.reaction.bursts import ask
from benchmarks.timeline import RECORDED_LIMIT_S

_SWITCH = """
SELECT host, from_tier, total_s FROM swaps
WHERE to_model = $model AND kind = 'switch' AND outcome = 'committed' AND ended_at > $since
ORDER BY ended_at LIMIT 1
"""


@dataclass(frozen=True)
class Switched:
    """A burst that a switch answered."""

    model: str
    first_token_s: float
    """From sending the burst to the first token of any of its requests."""
    hotswap_s: float
    from_tier: str


def switch(instance: Instance, times: int, burst: int) -> list[Switched]:
    """Ask `times` for whichever of the fleet's later models has no replica."""
    host = _shared_host(instance)
    instance.wait_for_tiers(host)
    found = []
    with instance.reader() as reader:
        for number in range(times):
            switched = _switch(instance, reader, host, number * burst, burst)
            instance.say(
                f"{switched.model} ({switched.from_tier}): first token after "
                f"{switched.first_token_s:.2f} s by a switch (hotswap {switched.hotswap_s:.2f})"
            )
            found.append(switched)
    return found


def _shared_host(instance: Instance) -> str:
    """The host that the first plan lets switch among the models."""
    wanted = {model.name for model in instance.fleet.models[1:]}

    def granted() -> str | None:
        hosts = instance.hosts().items()
        return next((name for name, seen in hosts if wanted <= set(seen.get("grant", ()))), None)

    return instance.until(granted, "a host is shared", limit_s=RECORDED_LIMIT_S)


def _switch(
    instance: Instance, reader: TrafficReader, host: str, first: int, burst: int
) -> Switched:
    awake = instance.hosts()[host]["awake_model"]
    model = next(m.name for m in instance.fleet.models[1:] if m.name != awake)
    asked_at, asked = time.time(), time.monotonic()
    load = ask(instance, model, first, burst)
    first_token_s = min(answer.first_token_at for answer in load.answers) - asked

    def recorded() -> dict[str, Any] | None:
        rows = reader.query(_SWITCH, {"model": model, "since": asked_at}).to_dicts()
        return rows[0] if rows else None

    row = instance.until(recorded, f"the switch to {model} in the store", limit_s=RECORDED_LIMIT_S)
    return Switched(model, first_token_s, row["total_s"], row["from_tier"])

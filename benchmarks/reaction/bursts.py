"""Bursts for a model without a replica, each timed to its first token.

The burst is the whole stimulus: the gateway records its requests, Dagster's sensor sees them in the
store, an allocation run swaps the model in, and the gateway sends the waiting requests there.
"""

import time

import httpx

from analytics.traffic import TrafficReader
from benchmarks.chat import Load, prompt, run_load
from benchmarks.instance import Instance
from benchmarks.reaction.samples import Reaction
from benchmarks.setting import BenchmarkUnable
from benchmarks.timeline import read_timeline

_ANSWER_TOKENS = 8
_NEWEST_SWAP = "SELECT max(ended_at) AS at FROM swaps WHERE host = $host"


def react(instance: Instance, times: int, burst: int) -> list[Reaction]:
    """Ask `times` for whichever of the models of the second host it does not serve."""
    found = []
    instance.wait_for_tiers(_host(instance))
    with instance.reader() as reader:
        for number in range(times):
            _wait_for_cooldown(instance, reader)
            reaction = _react(instance, reader, number * burst, burst)
            instance.say(
                f"{reaction.model} ({reaction.timeline.from_tier}): first token after "
                f"{reaction.first_token_s:.2f} s ({reaction.timeline.parts}, "
                f"then {reaction.after_hotswap_s:.2f})"
            )
            found.append(reaction)
    return found


def _host(instance: Instance) -> str:
    return instance.fleet.hosts[1].name


def _react(instance: Instance, reader: TrafficReader, first: int, burst: int) -> Reaction:
    awake = instance.hosts()[_host(instance)]["awake_model"]
    model = next(m.name for m in instance.fleet.models[1:] if m.name != awake)
    asked_at, asked = time.time(), time.monotonic()
    load = ask(instance, model, first, burst)
    first_tokens_s = [answer.first_token_at - asked for answer in load.answers]
    timeline = read_timeline(instance, reader, model, asked_at)
    return Reaction(model, min(first_tokens_s), max(first_tokens_s), timeline)


def ask(instance: Instance, model: str, first: int, burst: int) -> Load:
    """A burst of short questions, numbered from `first`. Raises BenchmarkUnable."""
    texts = [prompt(first + number) for number in range(burst)]
    try:
        return run_load(instance.gateway, model, texts, max_tokens=_ANSWER_TOKENS, key=instance.key)
    except httpx.HTTPError as error:
        raise BenchmarkUnable(
            f"a request for {model}, which has no replica, was not answered: {error}",
            where=instance.gateway,
            fix="Look at the allocation runs in Dagster, and at the gateway's log.",
        ) from error


def _wait_for_cooldown(instance: Instance, reader: TrafficReader) -> None:
    """Let the host have its model as long as allocation lets it have it."""
    cooldown_s = instance.fleet.allocation.cooldown_s

    def over() -> bool | None:
        at = reader.query(_NEWEST_SWAP, {"host": _host(instance)})["at"][0]
        return True if at is None or time.time() > at + cooldown_s else None

    instance.until(over, "the cooldown is over")

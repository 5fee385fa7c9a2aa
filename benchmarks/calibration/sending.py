"""Sending a trace to the gateway, and measuring its engines before: what clients do here."""

import asyncio
import random
import time
from collections.abc import Sequence

import httpx

from benchmarks.coserve.calibrate import measure_profile
from benchmarks.coserve.ceiling import ProfilePoint
from benchmarks.coserve.segment import require_served
from benchmarks.instance import Instance
from benchmarks.open_loop import Due, send_when_due
from benchmarks.streams import Endpoint, Question, Stream
from simulation.trace import Trace

PREFILL_TOKENS = (40, 140, 240)
"""The lengths of the trace's prompts."""
_PREFILLS_EACH = 3
_PROFILED_SLOTS = 12
"""The trace runs no more at once on an engine."""
_LIMIT_S = 300.0
_WORDS = (
    "time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world",
    "school", "state", "family", "student", "group", "country", "problem", "hand", "part",
)  # fmt: skip


def endpoint(instance: Instance, model: str) -> Endpoint:
    """The gateway, for a model."""
    return Endpoint(instance.gateway, model, {"service_tier": "flex"})


def profile(instance: Instance, model: str) -> list[ProfilePoint]:
    """TPOT by batch size, of the replica of `model`."""
    return measure_profile(endpoint(instance, model), _PROFILED_SLOTS)


def prefills(instance: Instance, model: str) -> list[Stream]:
    """Prompts of several lengths, one after the other, on the replica of `model`."""
    streams = []
    for number in range(_PREFILLS_EACH * len(PREFILL_TOKENS)):
        question = Question(_text(number, PREFILL_TOKENS[number % len(PREFILL_TOKENS)]), 2)
        stream = Stream(f"prefill-{model}-{number}", question)
        due = Due(0.0, stream, _body(instance, model, stream, batch=False))
        asyncio.run(_send(instance, [due]))
        streams.append(stream)
    require_served(streams, endpoint(instance, model))
    return streams


def send(instance: Instance, trace: Trace) -> list[Stream]:
    """Send the trace as it comes; its streams, ended, in its order. Raises BenchmarkUnable."""
    names = [model.name for model in instance.fleet.models]
    due = []
    for number in range(len(trace)):
        question = Question(
            _text(number, int(trace.input_tokens[number])), int(trace.output_tokens[number])
        )
        stream = Stream(f"trace-{number}", question)
        model = names[int(trace.model[number])]
        body = _body(instance, model, stream, batch=bool(trace.batch[number]))
        due.append(Due(float(trace.arrival_s[number]), stream, body))
    asyncio.run(_send(instance, due))
    streams = [each.stream for each in due]
    require_served(streams, endpoint(instance, names[0]))
    return streams


def _body(instance: Instance, model: str, stream: Stream, *, batch: bool) -> dict[str, object]:
    # A salt of its own: no prompt finds another's prefix, as no prompt of the simulator does.
    return endpoint(instance, model).body(stream.question, batch=batch, salt=stream.request_id)


async def _send(instance: Instance, due: Sequence[Due]) -> None:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=_LIMIT_S, limits=limits, trust_env=False) as client:
        await send_when_due(client, instance.gateway, due, time.monotonic())


def _text(number: int, tokens: int) -> str:
    """About so many tokens; what it really was, the gateway counts."""
    choice = random.Random(number)  # noqa: S311 - reproducible texts, no secret
    return f"{number}: " + " ".join(choice.choices(_WORDS, k=tokens))

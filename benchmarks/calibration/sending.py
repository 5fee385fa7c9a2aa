"""Sending a trace to the gateway: what its clients do."""

import asyncio
import random
import time
from collections.abc import Sequence

from benchmarks.instance import Instance
from benchmarks.open_loop import Due, send_when_due
from benchmarks.streams import Endpoint, Question, Stream, require_served, stream_client
from simulation.trace import Trace

_LIMIT_S = 300.0
_WORDS = (
    "time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world",
    "school", "state", "family", "student", "group", "country", "problem", "hand", "part",
)  # fmt: skip


def endpoint(instance: Instance, model: str) -> Endpoint:
    """The gateway, for a model."""
    return Endpoint(instance.gateway, model, {"service_tier": "flex"}, instance.key)


def send(instance: Instance, trace: Trace) -> list[Stream]:
    """Send the trace as it comes; its streams, ended, in its order. Raises BenchmarkUnable."""
    names = [model.name for model in instance.fleet.models]
    due = []
    for number in range(len(trace)):
        text = made_text(number, int(trace.input_tokens[number]))
        stream = Stream(f"trace-{number}", Question(text, int(trace.output_tokens[number])))
        model, batch = names[int(trace.model[number])], bool(trace.batch[number])
        body = _body(instance, model, stream, batch=batch)
        due.append(Due(float(trace.arrival_s[number]), stream, body))
    return _send_all(instance, due)


def send_alone(instance: Instance, model: str, stream: Stream) -> Stream:
    """Send one interactive request now and read it to its end. Raises BenchmarkUnable."""
    due = Due(0.0, stream, _body(instance, model, stream, batch=False))
    return _send_all(instance, [due])[0]


def made_text(number: int, tokens: int) -> str:
    """About so many tokens, the same for each number; what they really are, the gateway counts."""
    choice = random.Random(number)  # noqa: S311 - reproducible texts, no secret
    return f"{number}: " + " ".join(choice.choices(_WORDS, k=tokens))


def _send_all(instance: Instance, due: Sequence[Due]) -> list[Stream]:
    asyncio.run(_send(instance, due))
    streams = [each.stream for each in due]
    require_served(streams, instance.gateway)
    return streams


def _body(instance: Instance, model: str, stream: Stream, *, batch: bool) -> dict[str, object]:
    # A salt of its own: no prompt finds another's prefix, as no prompt of the simulator does.
    return endpoint(instance, model).body(stream.question, batch=batch, salt=stream.request_id)


async def _send(instance: Instance, due: Sequence[Due]) -> None:
    async with stream_client(_LIMIT_S, instance.key) as client:
        await send_when_due(client, instance.gateway, due, time.monotonic())

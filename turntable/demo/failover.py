"""Step 4: an engine host is killed in the middle of a stream, and the stream is complete."""

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from turntable.demo.observation import NotObserved, Observation
from turntable.demo.outside import Outside
from turntable.supervision.supervisord import SupervisorClient

_TOKENS = 160
_KILL_AFTER = 10
"""Pieces of text received when the host is killed."""
_ROUNDS = 5
_RECORDED_S = 120.0
_SERVES_S = 300.0
_PROMPT = "Explain in detail how a bicycle works."
_ATTEMPTS = """
SELECT max(attempts) FROM requests
WHERE request_class = 'interactive' AND model = $model AND arrived_at > $since"""


class Stream(NamedTuple):
    """A stream that was read to its end."""

    text: str
    longest_gap_s: float
    """The longest pause between two pieces of it."""


def show_failover(outside: Outside, observation: Observation) -> None:
    """Stream twice, killing the serving host the second time, and compare the texts."""
    model = _exact_model(outside)
    undisturbed = _stream(outside, model)
    killed, disturbed = _disturbed(outside, model)
    observation.note(f"{killed} killed (SIGKILL) in the middle of {model}'s stream")
    observation.expect(
        bool(disturbed.text),
        f"the stream went on after {disturbed.longest_gap_s:.1f} s and completed",
    )
    if outside.fleet.model(model).dtype == "float32":
        observation.expect(
            disturbed.text == undisturbed.text,
            f"its {len(disturbed.text)} characters are those of an undisturbed stream",
        )
    _await_serving(outside, killed)
    observation.note(f"{killed} was restarted by the supervisor and serves again")


def _disturbed(outside: Outside, model: str) -> tuple[str, Stream]:
    """A host, and the stream that it ran when it was killed.

    Who is slow to kill may find the stream at its end already: then it is tried again.
    """
    for _ in range(_ROUNDS):
        since, killed = time.time(), list[str]()
        stream = _stream(outside, model, on_middle=partial(_kill, outside, model, killed))
        if killed and _attempts(outside, model, since) > 1:
            return killed[0], stream
        for host in killed:
            _await_serving(outside, host)
    raise NotObserved(f"in {_ROUNDS} rounds the stream ended before its host was killed")


def _exact_model(outside: Outside) -> str:
    """A model whose tokens do not depend on the batch, so that texts can be compared."""
    for model in outside.fleet.models:
        if model.dtype == "float32" and model.max_replicas > 0:
            return model.name
    return outside.fleet.models[0].name


def _stream(outside: Outside, model: str, on_middle: Callable[[], None] = lambda: None) -> Stream:
    """One stream, read to its end; `on_middle` is called when its first pieces have come."""
    outside.say(f"streaming from {model}")
    pieces: list[str] = []
    last_at, longest_s = time.monotonic(), 0.0
    with outside.chat_client().chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": _PROMPT}],
        max_tokens=_TOKENS,
        temperature=0,
        stream=True,
    ) as stream:
        for chunk in stream:
            piece = chunk.choices[0].delta.content if chunk.choices else None
            if not piece:
                continue
            if pieces:
                longest_s = max(longest_s, time.monotonic() - last_at)
            pieces.append(piece)
            last_at = time.monotonic()
            if len(pieces) == _KILL_AFTER:
                on_middle()
    return Stream("".join(pieces), longest_s)


def _kill(outside: Outside, model: str, killed: list[str]) -> None:
    """Kill the process group of the host that runs the model's request, if one does."""
    busy: list[str] = [
        host["host"]
        for host in outside.hosts()
        if host.get("reachable")
        and host.get("awake_model") == model
        and host["running"]["interactive"]
    ]
    if not busy:
        return
    pids = {process.name: process.pid for process in SupervisorClient(outside.state).processes()}
    outside.say(f"killing {busy[0]}")
    os.killpg(pids[busy[0]], signal.SIGKILL)
    killed.append(busy[0])


def _attempts(outside: Outside, model: str, since: float) -> int:
    """How many attempts the model's interactive request took that arrived after `since`."""

    def recorded() -> int | None:
        attempts: int | None = outside.sql(_ATTEMPTS, model=model, since=since).item()
        return attempts

    return outside.wait_for("the stream in the traffic store", recorded, _RECORDED_S)


def _await_serving(outside: Outside, name: str) -> None:
    def serves() -> bool | None:
        return (
            any(
                host["host"] == name and host.get("reachable") and host.get("phase") == "serving"
                for host in outside.hosts()
            )
            or None
        )

    outside.wait_for(f"{name} to serve again", serves, _SERVES_S)

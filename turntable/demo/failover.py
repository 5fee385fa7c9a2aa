"""Step 4: an engine host is killed in the middle of a stream, and the stream is complete."""

import os
import signal
import time
from collections.abc import Callable

from turntable.demo.observation import NotObserved, Observation
from turntable.demo.outside import Outside
from turntable.supervision.supervisord import SupervisorClient

_TOKENS = 160
_KILL_AFTER = 20
"""Pieces of text received when the host is killed."""
_PROMPT = "Explain in detail how a bicycle works."


def show_failover(outside: Outside, observation: Observation) -> None:
    """Stream twice, killing the serving host the second time, and compare the texts."""
    model = _exact_model(outside)
    undisturbed, _ = _stream(outside, model, on_middle=lambda: None)
    killed: list[str] = []
    disturbed, longest_gap_s = _stream(
        outside, model, on_middle=lambda: killed.append(_kill_host_of(outside, model))
    )
    if not killed:
        raise NotObserved("the stream ended before a host could be killed in its middle")
    observation.note(f"{killed[0]} killed (SIGKILL) in the middle of {model}'s stream")
    observation.expect(
        bool(disturbed), f"the stream went on after {longest_gap_s:.1f} s and completed"
    )
    if outside.fleet.model(model).dtype == "float32":
        observation.expect(
            disturbed == undisturbed,
            f"its {len(disturbed)} characters are those of an undisturbed stream",
        )
    outside.wait_for(
        f"{killed[0]} to serve again", lambda: _serves(outside, killed[0]) or None, 180
    )
    observation.note(f"{killed[0]} was restarted by the supervisor and serves again")


def _exact_model(outside: Outside) -> str:
    """A model whose tokens do not depend on the batch, so that texts can be compared."""
    for model in outside.fleet.models:
        if model.dtype == "float32" and model.max_replicas > 0:
            return model.name
    return outside.fleet.models[0].name


def _stream(outside: Outside, model: str, on_middle: Callable[[], None]) -> tuple[str, float]:
    """The whole text of one stream, and the longest pause between two pieces of it."""
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
    return "".join(pieces), longest_s


def _kill_host_of(outside: Outside, model: str) -> str:
    """Kill the process group of the host that runs the model's interactive request."""
    busy: list[str] = [
        host["host"]
        for host in outside.hosts()
        if host.get("reachable")
        and host.get("awake_model") == model
        and host["running"]["interactive"]
    ]
    if not busy:
        raise NotObserved(f"no host reports a running request of {model}")
    pids = {process.name: process.pid for process in SupervisorClient(outside.state).processes()}
    outside.say(f"killing {busy[0]}")
    os.killpg(pids[busy[0]], signal.SIGKILL)
    return busy[0]


def _serves(outside: Outside, name: str) -> bool:
    return any(
        host["host"] == name and host.get("reachable") and host.get("phase") == "serving"
        for host in outside.hosts()
    )

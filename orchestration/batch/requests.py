"""Asking the gateway for rows: bounded side by side, patient while it is busy or away."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import httpx
import msgspec
import stamina

from orchestration.batch.checkpoint import Completion
from orchestration.batch.prompts import Prompt
from orchestration.errors import GatewayAway

BUSY_STATUSES = {429, 502, 503, 504}
FAULT_ATTEMPTS = 3
LONGEST_PAUSE_S = 10.0

Keep = Callable[[Completion], None]


class _Message(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    message: _Message
    finish_reason: str | None = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Answer(msgspec.Struct, frozen=True):
    """The part of a chat completion that a row keeps."""

    choices: tuple[_Choice, ...]
    usage: _Usage


class _Busy(Exception):
    """The gateway does not take the request now."""


class _Fault(Exception):
    """The gateway failed at the request."""


class _Refused(Exception):
    """The gateway refused the request for good."""


async def complete(
    prompts: Iterable[Prompt],
    base_url: str,
    keep: Keep,
    *,
    api_key: str,
    windows: Mapping[str, int],
    patience_s: float,
    request_s: float,
) -> None:
    """Ask for every prompt and `keep` each outcome when it is there.

    At most `windows[model]` requests of a model are open at once. Raises GatewayAway when
    the gateway has not taken a request for `patience_s`; what was not kept is then not done.
    """
    by_model: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        by_model.setdefault(prompt.model, []).append(prompt)
    limits = httpx.Limits(max_connections=None)
    headers = {"Authorization": f"Bearer {api_key}"}
    async with httpx.AsyncClient(
        base_url=base_url, timeout=request_s, limits=limits, headers=headers
    ) as client:
        gone: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for model, rows in by_model.items():
                    queue = iter(rows)
                    for _ in range(min(windows[model], len(rows))):
                        group.create_task(_work(client, queue, keep, patience_s))
        except* GatewayAway as away:
            gone = away.exceptions[0]
        if gone is not None:  # raised in the clause above it might come out in a group
            raise gone


async def _work(
    client: httpx.AsyncClient, queue: Iterator[Prompt], keep: Keep, patience_s: float
) -> None:
    """One place in a model's window: takes row after row."""
    for prompt in queue:
        keep(await _row(client, prompt, patience_s))


async def _row(client: httpx.AsyncClient, prompt: Prompt, patience_s: float) -> Completion:
    """One row's outcome; errors of the row itself are outcomes too."""
    started = time.monotonic()
    outcome = Completion(id=prompt.id, model=prompt.model, fingerprint=prompt.fingerprint)
    try:
        answer = await _patiently(client, prompt, patience_s)
    except (_Refused, _Fault) as error:
        seconds = time.monotonic() - started
        return msgspec.structs.replace(outcome, error=str(error), seconds=seconds)
    return msgspec.structs.replace(
        outcome,
        completion=answer.choices[0].message.content,
        finish_reason=answer.choices[0].finish_reason,
        prompt_tokens=answer.usage.prompt_tokens,
        completion_tokens=answer.usage.completion_tokens,
        seconds=time.monotonic() - started,
    )


async def _patiently(client: httpx.AsyncClient, prompt: Prompt, patience_s: float) -> _Answer:
    """Ask until the gateway has answered; its own faults are tried a few times only."""
    patient = stamina.AsyncRetryingCaller(
        attempts=None, timeout=patience_s, wait_max=LONGEST_PAUSE_S
    )
    few_times = stamina.AsyncRetryingCaller(attempts=FAULT_ATTEMPTS)
    try:
        return await patient(_Busy, few_times, _Fault, _ask, client, prompt)
    except _Busy as error:
        raise GatewayAway(
            f"it took no request for {patience_s:g} s: {error}",
            where=str(client.base_url),
            fix="See whether the gateway runs and a host can serve the model; then run the "
            "partition again: rows done are kept.",
        ) from error


async def _ask(client: httpx.AsyncClient, prompt: Prompt) -> _Answer:
    try:
        answer = await client.post("/v1/chat/completions", json=prompt.body)
    except httpx.TransportError as error:
        raise _Busy(f"{type(error).__name__}: {error}") from error
    if answer.status_code in BUSY_STATUSES:
        raise _Busy(f"{answer.status_code}: {answer.text[:200]}")
    if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise _Fault(f"{answer.status_code}: {answer.text[:500]}")
    if not answer.is_success:
        raise _Refused(f"{answer.status_code}: {answer.text[:500]}")
    try:
        return msgspec.json.decode(answer.content, type=_Answer)
    except msgspec.DecodeError as error:
        raise _Fault(f"the answer is not a chat completion: {error}") from error

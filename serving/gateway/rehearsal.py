"""Whether a model's app would take a body: it goes all the way, short of being generated from.

So whatever refuses requests has its say: endpoint, template, tokenizer, lengths, sampling. Costs as
much of the gateway's time as the request itself. Nothing of it is counted or recorded.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message, Scope

from serving.gateway.failures import Refusal
from serving.gateway.record import RequestRecord, current_request


class Rehearsals:
    """Rehearses requests to the models' `apps`."""

    def __init__(self, apps: Mapping[str, ASGIApp]) -> None:
        self._apps = apps

    async def refusal(self, path: str, model: str, body: bytes) -> Refusal | None:
        """Why `path` would refuse `body`, a request to `model`; None: it would not."""
        record = RequestRecord(
            request_id="rehearsal",
            model=model,
            request_class="batch",
            endpoint=path,
            replica_wait_s=0.0,
            rehearsal=True,
        )
        app, exchange = self._apps[model], _Exchange(body)
        current_request.set(record)
        try:
            await app(_scope(path, body), exchange.receive, exchange.send)
        except Exception as error:
            # What makes the app's code stumble would make it stumble when it is asked in earnest.
            return Refusal(500, str(error) or type(error).__name__)
        if record.would_run:
            return None
        return record.refusal or exchange.refusal()


class _Error(msgspec.Struct):
    message: str = ""
    param: str | None = None


class _Answer(msgspec.Struct):
    error: _Error = msgspec.field(default_factory=_Error)


class _Exchange:
    """The messages of one request that is whole, and of its answer."""

    def __init__(self, body: bytes) -> None:
        self._request: Message | None = {"type": "http.request", "body": body, "more_body": False}
        self._status = 0
        self._answer = bytearray()

    async def receive(self) -> Message:
        """The body; who asks again learns that its client stays."""
        request, self._request = self._request, None
        if request is None:
            await asyncio.Event().wait()
            raise AssertionError("a rehearsal's client never leaves")
        return request

    async def send(self, message: Message) -> None:
        """Take a part of the answer."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
        self._answer += message.get("body", b"")

    def refusal(self) -> Refusal:
        """What the answer says is wrong."""
        try:
            error = msgspec.json.decode(self._answer, type=_Answer).error
        except (msgspec.MsgspecError, UnicodeDecodeError):
            error = _Error()
        message = error.message or f"the endpoint answers {self._status}"
        return Refusal(self._status, message, param=error.param)


def _scope(path: str, body: bytes) -> Scope:
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": None,
        "server": None,
        "path_params": {},
    }
    return scope

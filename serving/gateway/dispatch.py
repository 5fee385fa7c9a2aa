"""Taking a request to its model's app and seeing it out: once recorded, once ended.

The ASGI endpoint behind every path that names a model in its body.
"""

import asyncio
import re
import time
import uuid
from collections.abc import Callable, Mapping

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from analytics.events import RequestEnded
from serving.config import Fleet
from serving.gateway.accounts import Accounts
from serving.gateway.calls import MAX_BODY_BYTES, Call, batch_wishes, read_call
from serving.gateway.census import EventSink
from serving.gateway.dialects import Endpoint
from serving.gateway.failures import Refusal, RequestRefused, unknown_model
from serving.gateway.gaps import TokenGaps
from serving.gateway.record import RequestRecord, current_request
from serving.gateway.reply import Reply

log = structlog.get_logger(__name__)

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_NOT_FORWARDED = frozenset(
    {
        b"x-request-id",
        b"x-vllm-priority",
        b"x-data-parallel-rank",
        b"content-length",
        b"authorization",
        b"x-api-key",
    }
)


class Dispatcher:
    """Dispatches the requests of one endpoint."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        fleet: Fleet,
        accounts: Accounts,
        apps: Mapping[str, ASGIApp],
        events: EventSink,
        on_end: Callable[[RequestEnded, TokenGaps], None],
    ) -> None:
        self._endpoint, self._fleet, self._apps = endpoint, fleet, apps
        self._models = [model.name for model in fleet.models]
        self._accounts = accounts
        self._events, self._on_end = events, on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        headers = dict(scope["headers"])
        record = RequestRecord(
            request_id=_request_id(headers),
            model="",
            request_class="interactive",
            endpoint=self._endpoint.path,
            replica_wait_s=self._fleet.gateway.replica_wait_s,
        )
        reply = Reply(send, self._endpoint, record)
        try:
            call, app = await self._destination(headers, receive, record)
        except RequestRefused as refused:
            await reply.refuse(refused.refusal)
            return
        except _Gone:
            return
        await self._serve(scope, _Inbox(call.body, receive, record, reply), app, record, reply)

    async def _destination(
        self, headers: Mapping[bytes, bytes], receive: Receive, record: RequestRecord
    ) -> tuple[Call, ASGIApp]:
        record.account = self._accounts.of(headers)
        call = read_call(self._endpoint, await _read_body(headers, receive))
        if call.model not in self._models:
            raise _refused(unknown_model(call.model, self._models))
        if call.model not in self._apps:
            raise _refused(Refusal(503, "the gateway is starting", "starting", retry_after_s=5))
        wishes = batch_wishes(call.request_class, headers)
        if wishes.wait_s is not None:
            record.replica_wait_s = wishes.wait_s
        if wishes.deadline_s is not None:
            record.deadline_at = time.monotonic() + wishes.deadline_s
        record.checkpoint_key = wishes.checkpoint_key
        record.model, record.request_class = call.model, call.request_class
        return call, self._apps[call.model]

    async def _serve(
        self, scope: Scope, inbox: "_Inbox", app: ASGIApp, record: RequestRecord, reply: Reply
    ) -> None:
        current_request.set(record)
        structlog.contextvars.bind_contextvars(
            request_id=record.request_id, model=record.model, request_class=record.request_class
        )
        if self._endpoint.generates:
            self._events.append(record.arrival())
        try:
            await app(_forwarded(scope, record.request_id, inbox), inbox.receive, reply.send)
        except asyncio.CancelledError:
            record.disconnected = True
            raise
        except Exception as error:
            # vLLM's app raises on after answering with 500; the line below is that error's record.
            log.exception("request_failed")
            record.refusal = record.refusal or Refusal(500, str(error) or type(error).__name__)
            if not record.disconnected:
                await reply.refuse(record.refusal)
        finally:
            self._end(record, reply)

    def _end(self, record: RequestRecord, reply: Reply) -> None:
        if not self._endpoint.generates:
            return
        ended = record.end(reply.status or 499)
        self._events.append(ended)
        self._on_end(ended, record.gaps())
        log.info(
            "request_ended",
            endpoint=ended.endpoint,
            outcome=ended.outcome,
            status=ended.status,
            ttft_s=ended.ttft_s,
            total_s=ended.total_s,
            output_tokens=ended.output_tokens,
            attempts=ended.attempts,
            hosts=ended.hosts,
            error=ended.error,
        )


class _Gone(Exception):
    """The client left before its request was read."""


class _Inbox:
    """The request's messages as vLLM's app sees them: the body whole, then the disconnect."""

    def __init__(self, body: bytes, receive: Receive, record: RequestRecord, reply: Reply) -> None:
        self.body = body
        self._receive, self._record, self._reply = receive, record, reply
        self._body_taken = False

    async def receive(self) -> Message:
        """The next message."""
        if not self._body_taken:
            self._body_taken = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self._reply.complete:
            self._record.disconnected = True
        return message


async def _read_body(headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        raise _too_large()
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
    return bytes(body)


def _too_large() -> RequestRefused:
    limit = f"the body is larger than {MAX_BODY_BYTES} bytes"
    return _refused(Refusal(413, limit, "request_too_large"))


def _refused(refusal: Refusal) -> RequestRefused:
    return RequestRefused(refusal, where="request", fix="Mend the request, or try again later.")


def _request_id(headers: Mapping[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id", b"")
    return given.decode() if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _forwarded(scope: Scope, request_id: str, inbox: _Inbox) -> Scope:
    """The request as vLLM's app sees it: under our id, without wishes that are not a client's."""
    kept = [(k, v) for k, v in scope["headers"] if k.lower() not in _NOT_FORWARDED]
    own = [
        (b"x-request-id", request_id.encode()),
        (b"content-length", str(len(inbox.body)).encode()),
    ]
    return {**scope, "headers": kept + own, "root_path": "", "path_params": {}}

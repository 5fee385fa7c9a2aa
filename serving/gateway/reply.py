"""The answer on its way out: held until it is certain, and completed with the service tier.

vLLM's app sends status 200 before a stream's first token exists. Here an answer leaves only when
a token exists or the app is done, so that a request that finds no replica gets a real 503.
"""

from typing import Any

import msgspec
from starlette.types import Message, Send

from serving.gateway.dialects import Endpoint, error_body, read_error, tier_used
from serving.gateway.failures import Refusal
from serving.gateway.record import RequestRecord

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_DATA, _EVENT_GAP = b"data: {", b"\n\n"


class Reply:
    """Wraps an ASGI `send`."""

    def __init__(self, send: Send, endpoint: Endpoint, record: RequestRecord) -> None:
        self._send, self._endpoint, self._record = send, endpoint, record
        self._start: Message | None = None
        self._held = b""
        self._streaming = False
        self._event_mark: bytes | None = None
        """What a tagged event begins with; made with the first one."""
        self.status = 0
        """What was answered; 0 while nothing was."""
        self.complete = False

    async def send(self, message: Message) -> None:
        """Take one message of vLLM's app."""
        if message["type"] == "http.response.start":
            self._start = message
            self._streaming = _header(message, b"content-type").startswith(b"text/event-stream")
        elif message["type"] == "http.response.body" and not self.complete:
            await self._body(message.get("body", b""), message.get("more_body", False))

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with an error, unless an answer has left already."""
        if self.status:
            return
        body = msgspec.json.encode(error_body(self._endpoint.dialect, refusal))
        extra = []
        if refusal.retry_after_s is not None:
            extra.append((b"retry-after", str(refusal.retry_after_s).encode()))
        if refusal.status == 401:
            extra.append((b"www-authenticate", b"Bearer"))
        await self._send_whole(refusal.status, body, extra)

    async def _body(self, body: bytes, more: bool) -> None:
        if self.status:
            await self._pass_on(body, more)
            return
        self._held += body
        if self._record.refusal is not None and not self._record.started:
            await self.refuse(self._record.refusal)
        elif self._streaming and (self._record.started or not more):
            await self._begin()
            held, self._held = self._held, b""
            await self._pass_on(held, more)
        elif not more:
            await self._whole()

    async def _begin(self) -> None:
        assert self._start is not None
        self.status = self._start["status"]
        headers = [*self._start.get("headers", []), self._id_header()]
        await self._send({**self._start, "headers": headers})

    async def _pass_on(self, body: bytes, more: bool) -> None:
        self.complete = not more
        tagged = self._tag_events(body) if body else body
        await self._send({"type": "http.response.body", "body": tagged, "more_body": more})

    async def _whole(self) -> None:
        assert self._start is not None
        status = self._start["status"]
        if self._record.refusal is not None:
            await self.refuse(self._record.refusal)
        elif status >= 400:
            await self.refuse(read_error(status, _json(self._held)))
        else:
            await self._send_whole(status, self._tag_object(self._held), [])

    async def _send_whole(self, status: int, body: bytes, extra: list[tuple[bytes, bytes]]) -> None:
        self.status, self.complete = status, True
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            self._id_header(),
            *extra,
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    def _id_header(self) -> tuple[bytes, bytes]:
        return (b"x-request-id", self._record.request_id.encode())

    @property
    def _tier(self) -> bytes:
        return msgspec.json.encode(tier_used(self._endpoint.dialect, self._record.request_class))

    def _tag_object(self, body: bytes) -> bytes:
        if self._endpoint.tagging not in {"object", "usage"}:
            return body
        try:
            fields = _fields.decode(body)
            if self._endpoint.tagging == "object":
                fields["service_tier"] = msgspec.Raw(self._tier)
            elif "usage" in fields:
                fields["usage"] = _tagged_usage(fields["usage"], self._tier)
        except msgspec.MsgspecError:
            return body
        return msgspec.json.encode(fields)

    def _tag_events(self, body: bytes) -> bytes:
        """Tag whole server-sent events; in one, a newline never stands inside the data."""
        if self._endpoint.tagging == "object":
            if self._event_mark is None:
                self._event_mark = _DATA + b'"service_tier":' + self._tier + b","
            if body.startswith(_DATA):
                body = self._event_mark + body[len(_DATA) :]
            return body.replace(_EVENT_GAP + _DATA, _EVENT_GAP + self._event_mark)
        if self._endpoint.tagging == "usage" and b"event: message_start" in body:
            lines = [self._tag_message_start(line) for line in body.split(b"\n")]
            return b"\n".join(lines)
        return body

    def _tag_message_start(self, line: bytes) -> bytes:
        if not line.startswith(_DATA):
            return line
        fields = _fields.decode(line[len(b"data: ") :])
        if "message" not in fields:
            return line
        message = _fields.decode(fields["message"])
        message["usage"] = _tagged_usage(message.get("usage", msgspec.Raw(b"{}")), self._tier)
        fields["message"] = msgspec.Raw(msgspec.json.encode(message))
        return b"data: " + msgspec.json.encode(fields)


def _tagged_usage(usage: msgspec.Raw, tier: bytes) -> msgspec.Raw:
    if bytes(usage) == b"null":
        return usage
    fields = _fields.decode(usage)
    fields["service_tier"] = msgspec.Raw(tier)
    return msgspec.Raw(msgspec.json.encode(fields))


def _header(message: Message, name: bytes) -> bytes:
    return next((v for k, v in message.get("headers", []) if k.lower() == name), b"")


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return None

"""Reading a request's body just far enough to know where it goes.

Pure. Everything else in the body is vLLM's to validate.
"""

from dataclasses import dataclass

import msgspec

from serving.gateway.dialects import Endpoint, request_class, tier_used
from serving.gateway.failures import Refusal, RequestRefused
from serving.wire import RequestClass

MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_BATCH_WAIT_S = 3600.0
WAIT_HEADER = "x-turntable-wait-s"
"""How long a batch request may wait for a replica; its client's choice, up to an hour."""


@dataclass(frozen=True)
class Call:
    """A request's destination, and its body as vLLM's app shall see it."""

    model: str
    request_class: RequestClass
    body: bytes


_ABSENT = msgspec.Raw(b"null")


class _Head(msgspec.Struct):
    model: msgspec.Raw = _ABSENT
    service_tier: msgspec.Raw = _ABSENT


_head = msgspec.json.Decoder(_Head)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_call(endpoint: Endpoint, body: bytes) -> Call:
    """The call in `body`. Raises RequestRefused."""
    try:
        head = _head.decode(body)
        model = msgspec.json.decode(head.model)
        tier = msgspec.json.decode(head.service_tier)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _refused(Refusal(400, f"the body is not a JSON object: {error}")) from error
    if not isinstance(model, str) or not model:
        raise _refused(Refusal(400, "you must provide a model parameter", "missing_model", "model"))
    asked = request_class(endpoint.dialect, tier)
    if isinstance(asked, Refusal):
        raise _refused(asked)
    if endpoint.tagging == "request":
        body = _with_tier(body, tier_used(endpoint.dialect, asked))
    return Call(model, asked, body)


def replica_wait_s(request_class: RequestClass, header: str | None, default_s: float) -> float:
    """How long the request may wait for a replica. Raises RequestRefused on a bad header."""
    if request_class != "batch" or header is None:
        return default_s
    try:
        asked = float(header)
    except ValueError:
        asked = -1.0
    if not asked >= 0:
        raise _refused(
            Refusal(400, f"{WAIT_HEADER} must be a number of seconds", param=WAIT_HEADER)
        )
    return min(asked, MAX_BATCH_WAIT_S)


def _with_tier(body: bytes, tier: str) -> bytes:
    fields = _fields.decode(body)
    fields["service_tier"] = msgspec.Raw(msgspec.json.encode(tier))
    return msgspec.json.encode(fields)


def _refused(refusal: Refusal) -> RequestRefused:
    return RequestRefused(refusal, where="request body", fix="Mend the request.")

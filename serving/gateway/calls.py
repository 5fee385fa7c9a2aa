"""Reading a request's body just far enough to know where it goes.

Pure. Everything else in the body is vLLM's to validate.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from serving.gateway.dialects import Endpoint, request_class, tier_used
from serving.gateway.failures import Refusal, RequestRefused
from serving.wire import RequestClass

MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_BATCH_WAIT_S = 3600.0
WAIT_HEADER = "x-turntable-wait-s"
"""How long a batch request may wait for a replica; its client's choice, up to an hour."""
MAX_DEADLINE_S = 365 * 24 * 3600.0
DEADLINE_HEADER = "x-turntable-deadline-s"
"""In how many seconds the batch that a request is of is due; near it, it is evicted last."""

CHECKPOINT_HEADER = "x-turntable-checkpoint"
"""A key of the client's choice: the same request under the same key goes on from what was kept."""
_CHECKPOINT_KEY = re.compile(rb"[\x21-\x7e]{1,256}")


@dataclass(frozen=True)
class Call:
    """A request's destination, and its body as vLLM's app shall see it."""

    model: str
    request_class: RequestClass
    body: bytes


@dataclass(frozen=True)
class BatchWishes:
    """What a batch client may choose; None: it did not."""

    wait_s: float | None = None
    deadline_s: float | None = None
    checkpoint_key: str | None = None


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
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(Refusal(400, f"the body is not a JSON object: {error}")) from error
    if not isinstance(model, str) or not model:
        raise _refused(Refusal(400, "you must provide a model parameter", "missing_model", "model"))
    asked = request_class(endpoint.dialect, tier)
    if isinstance(asked, Refusal):
        raise _refused(asked)
    if endpoint.tagging == "request":
        body = _with_tier(body, tier_used(endpoint.dialect, asked))
    return Call(model, asked, body)


def batch_wishes(request_class: RequestClass, headers: Mapping[bytes, bytes]) -> BatchWishes:
    """What a batch request's headers ask for; an interactive one's do not count.

    Raises RequestRefused on a header that is no number of seconds, or no key.
    """
    if request_class != "batch":
        return BatchWishes()
    wait_s, deadline_s = _seconds(headers, WAIT_HEADER), _seconds(headers, DEADLINE_HEADER)
    return BatchWishes(
        None if wait_s is None else min(wait_s, MAX_BATCH_WAIT_S),
        None if deadline_s is None else min(deadline_s, MAX_DEADLINE_S),
        _checkpoint_key(headers),
    )


def _checkpoint_key(headers: Mapping[bytes, bytes]) -> str | None:
    header = headers.get(CHECKPOINT_HEADER.encode())
    if header is None:
        return None
    if not _CHECKPOINT_KEY.fullmatch(header):
        what = f"{CHECKPOINT_HEADER} must be 1 to 256 printable ASCII characters without spaces"
        raise _refused(Refusal(400, what, param=CHECKPOINT_HEADER))
    return header.decode()


def _seconds(headers: Mapping[bytes, bytes], name: str) -> float | None:
    header = headers.get(name.encode())
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise _refused(Refusal(400, f"{name} must be a number of seconds", param=name))
    return seconds


def _with_tier(body: bytes, tier: str) -> bytes:
    fields = _fields.decode(body)
    fields["service_tier"] = msgspec.Raw(msgspec.json.encode(tier))
    return msgspec.json.encode(fields)


def _refused(refusal: Refusal) -> RequestRefused:
    return RequestRefused(refusal, where="request body", fix="Mend the request.")

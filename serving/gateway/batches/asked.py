"""What a request of the Files or Batches API asks for, or why it is refused.

Pure: query parameters and bodies in, values out.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from serving.batches import Order, window_s
from serving.gateway.failures import Refusal, RequestRefused

ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
"""What the lines of a batch may ask."""
MAX_METADATA_PAIRS = 16
MAX_METADATA_KEY_CHARACTERS = 64
MAX_METADATA_VALUE_CHARACTERS = 512
SHORTEST_EXPIRY_S, LONGEST_EXPIRY_S = 3600, 30 * 24 * 3600
MAX_KEY_CHARACTERS = 255
LISTED_FILES = (10_000, 10_000)
"""Most files a page has, and how many unless told."""
LISTED_BATCHES = (100, 20)
_INTEGER = re.compile(r"[0-9]{1,9}")


class BatchAsked(msgspec.Struct, frozen=True, kw_only=True):
    """A batch somebody wants."""

    input_file_id: str
    endpoint: str
    completion_window: str
    window_s: int
    metadata: dict[str, str] | None
    output_expires_after_s: int | None


class PageAsked(msgspec.Struct, frozen=True):
    """A page of a list somebody wants."""

    after_id: str | None
    limit: int
    order: Order


def read_batch(body: bytes) -> BatchAsked:
    """The batch that a creation's body asks for. Raises RequestRefused."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise refused(f"the body is not a JSON object: {error}", None) from error
    endpoint = _text(fields, "endpoint")
    if endpoint not in ENDPOINTS:
        names = ", ".join(ENDPOINTS)
        raise refused(f"endpoint must be one of {names}", "endpoint", "invalid_value")
    window = _text(fields, "completion_window")
    seconds = window_s(window)
    if seconds is None:
        message = "completion_window must be 24h, or a shorter one such as 6h or 30m"
        raise refused(message, "completion_window", "invalid_value")
    return BatchAsked(
        input_file_id=_text(fields, "input_file_id"),
        endpoint=endpoint,
        completion_window=window,
        window_s=seconds,
        metadata=_metadata(fields.get("metadata")),
        output_expires_after_s=_output_expiry(fields.get("output_expires_after")),
    )


def read_idempotency_key(header: str | None) -> str | None:
    """The header `Idempotency-Key`. Raises RequestRefused."""
    if header is not None and not 0 < len(header) <= MAX_KEY_CHARACTERS:
        message = f"Idempotency-Key must have 1 to {MAX_KEY_CHARACTERS} characters"
        raise refused(message, "Idempotency-Key", "invalid_value")
    return header


def read_page(query: Mapping[str, str], limits: tuple[int, int]) -> PageAsked:
    """The page that a list's query asks for. Raises RequestRefused."""
    most, usual = limits
    limit = query.get("limit", str(usual))
    if not _INTEGER.fullmatch(limit) or not 1 <= int(limit) <= most:
        raise refused(f"limit must be a number from 1 to {most}", "limit", "invalid_value")
    order: Order = "asc" if query.get("order") == "asc" else "desc"
    if query.get("order", order) != order:
        raise refused("order must be asc or desc", "order", "invalid_value")
    return PageAsked(query.get("after"), int(limit), order)


def read_expiry_s(anchor: object, seconds: object, param: str) -> int:
    """Seconds after which a file expires. Raises RequestRefused."""
    if anchor != "created_at":
        raise refused(f"{param}.anchor must be created_at", f"{param}.anchor", "invalid_value")
    if not isinstance(seconds, int) or not SHORTEST_EXPIRY_S <= seconds <= LONGEST_EXPIRY_S:
        message = f"{param}.seconds must be from {SHORTEST_EXPIRY_S} to {LONGEST_EXPIRY_S}"
        raise refused(message, f"{param}.seconds", "invalid_value")
    return seconds


def refused(message: str, param: str | None, code: str | None = None) -> RequestRefused:
    """A request that asks for what there is not."""
    return RequestRefused(
        Refusal(400, message, code, param), where="request", fix="Mend the request."
    )


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        message = f"you must provide a {name} parameter, a text"
        raise refused(message, name, "missing_required_parameter")
    return value


def _metadata(given: object) -> dict[str, str] | None:
    if given is None:
        return None
    try:
        metadata = msgspec.convert(given, dict[str, str])
    except msgspec.ValidationError as error:
        raise refused(f"metadata must be texts by name: {error}", "metadata") from error
    longest_key = max(map(len, metadata), default=0)
    longest_value = max(map(len, metadata.values()), default=0)
    if (
        len(metadata) > MAX_METADATA_PAIRS
        or longest_key > MAX_METADATA_KEY_CHARACTERS
        or longest_value > MAX_METADATA_VALUE_CHARACTERS
    ):
        message = (
            f"metadata has at most {MAX_METADATA_PAIRS} pairs, keys of at most "
            f"{MAX_METADATA_KEY_CHARACTERS} characters and values of at most "
            f"{MAX_METADATA_VALUE_CHARACTERS}"
        )
        raise refused(message, "metadata", "invalid_value")
    return metadata


def _output_expiry(given: object) -> int | None:
    if given is None:
        return None
    fields = given if isinstance(given, dict) else {}
    return read_expiry_s(fields.get("anchor"), fields.get("seconds"), "output_expires_after")

"""The public APIs' own forms: endpoints, request classes, service tiers, errors.

Pure. Two dialects are spoken, OpenAI's and Anthropic's; everything that differs between them
and is not vLLM's business is here.
"""

from dataclasses import dataclass
from typing import Any, Literal

from serving.gateway.failures import Refusal
from serving.wire import RequestClass

Dialect = Literal["openai", "anthropic"]
Tagging = Literal["object", "usage", "request", "none"]


@dataclass(frozen=True)
class Endpoint:
    """A public path that names a model in its body."""

    path: str
    dialect: Dialect = "openai"
    generates: bool = True
    tagging: Tagging = "none"
    """Where the answer says the service tier: on the `object` and its chunks, in its `usage`, or
    vLLM repeats what the `request` said."""


ENDPOINTS = (
    Endpoint("/v1/chat/completions", tagging="object"),
    Endpoint("/v1/completions", tagging="object"),
    Endpoint("/v1/responses", tagging="request"),
    Endpoint("/v1/messages", "anthropic", tagging="usage"),
    Endpoint("/v1/messages/count_tokens", "anthropic", generates=False),
    Endpoint("/tokenize", generates=False),
    Endpoint("/detokenize", generates=False),
)
"""Every path that reaches vLLM's app. What it mounts beside these is not public."""

_BATCH_TIERS: dict[Dialect, frozenset[str]] = {
    "openai": frozenset({"flex"}),
    "anthropic": frozenset({"flex", "batch"}),
}
_OTHER_TIERS: dict[Dialect, frozenset[str]] = {
    "openai": frozenset({"auto", "default", "scale", "priority"}),
    "anthropic": frozenset({"auto", "standard_only"}),
}
_OPENAI_TYPES = {429: "rate_limit_error"}
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


def request_class(dialect: Dialect, service_tier: object) -> RequestClass | Refusal:
    """The class that a request's `service_tier` asks for."""
    if service_tier is None:
        return "interactive"
    known = _BATCH_TIERS[dialect] | _OTHER_TIERS[dialect]
    if not isinstance(service_tier, str) or service_tier not in known:
        names = ", ".join(sorted(known))
        return Refusal(400, f"service_tier must be one of {names}", "invalid_value", "service_tier")
    return "batch" if service_tier in _BATCH_TIERS[dialect] else "interactive"


def tier_used(dialect: Dialect, used: RequestClass) -> str:
    """The tier's name in an answer."""
    if dialect == "anthropic":
        return "batch" if used == "batch" else "standard"
    return "flex" if used == "batch" else "default"


def error_body(dialect: Dialect, refusal: Refusal) -> dict[str, Any]:
    """An error in the API's own form."""
    if dialect == "anthropic":
        kind = "invalid_request_error" if refusal.status < 500 else "api_error"
        named = _ANTHROPIC_TYPES.get(refusal.status, kind)
        return {"type": "error", "error": {"type": named, "message": refusal.message}}
    kind = "invalid_request_error" if refusal.status < 500 else "server_error"
    return {
        "error": {
            "message": refusal.message,
            "type": _OPENAI_TYPES.get(refusal.status, kind),
            "param": refusal.param,
            "code": refusal.code,
        }
    }


def read_error(status: int, body: Any) -> Refusal:
    """What an error answer of either form says, to be said again in the right one."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return Refusal(status, "the request could not be served")
    message, param = error.get("message"), error.get("param")
    return Refusal(
        status,
        message if isinstance(message, str) else "the request could not be served",
        param=param if isinstance(param, str) else None,
    )

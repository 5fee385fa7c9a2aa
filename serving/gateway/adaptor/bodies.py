"""Whether the endpoint would take a request's body, without sending it.

The same steps by which vLLM's app and our engine client refuse a body, as far as they need no
tokens. What a prompt's length has against it shows only when it is tokenized, what messages of more
than text have only when they are rendered: such bodies are rehearsed, the others not, since it
takes far longer than the rest.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.entrypoints.openai.responses.protocol import ResponsesRequest

from serving.batches import BatchError, BodyCheck
from serving.config import ModelSettings
from serving.gateway.adaptor.sampling import sampling_spec
from serving.gateway.dialects import request_class
from serving.gateway.failures import Refusal, RequestRefused

_REQUESTS: Mapping[str, type[Any]] = {
    "/v1/chat/completions": ChatCompletionRequest,
    "/v1/completions": CompletionRequest,
    "/v1/responses": ResponsesRequest,
}
_BOUNDS: Mapping[str, Sequence[str]] = {
    "/v1/chat/completions": ("max_completion_tokens", "max_tokens"),
    "/v1/completions": ("max_tokens",),
    "/v1/responses": ("max_output_tokens",),
}
_STATEFUL = ("background", "previous_response_id")
"""What a stored response would be needed for."""
_TEXTS = ("text", "input_text", "output_text")
"""Parts of messages that say text."""

Rehearse = Callable[[str, bytes], Refusal | None]
"""Why the endpoint would refuse this body, a request to this model, once all is said and done."""


def body_check(endpoint: str, models: Iterable[ModelSettings], rehearse: Rehearse) -> BodyCheck:
    """The check of bodies that are sent to `endpoint`; errors of `rehearse` are the caller's."""
    lengths = {model.name: model.max_model_len for model in models}
    parse: Callable[[Any], Any] = _REQUESTS[endpoint].model_validate

    def check(raw: bytes) -> BatchError | None:
        try:
            fields = json.loads(raw)
            _check_gateway(fields)
            request = parse(fields)
            longest = lengths.get(request.model)
            bound = _bound_tokens(fields, _BOUNDS[endpoint], longest)
            sampling_spec(request.to_sampling_params(bound or longest or 1, {}))
        except RequestRefused as error:
            return _problem(error.refusal.message, error.refusal.param, error.refusal.code)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            return _problem(str(first["msg"]), ".".join(map(str, first["loc"])) or None)
        except Exception as error:
            # vLLM's own errors have no common base, and a body that makes its code stumble would
            # make it stumble at the endpoint too. Either way the line is told why.
            return _problem(str(error) or type(error).__name__, getattr(error, "parameter", None))
        # A token is a byte at least, and what is around a prompt is longer in JSON than in tokens.
        fits = longest is None or len(raw) + bound <= longest
        if fits and not _is_unusual(fields):
            return None
        refusal = rehearse(request.model, raw)
        if refusal is None:
            return None
        return _problem(refusal.message, refusal.param, refusal.code)

    return check


def _check_gateway(fields: Mapping[str, Any]) -> None:
    """What the gateway refuses before vLLM sees it, and what makes no sense in a batch."""
    tier = request_class("openai", fields.get("service_tier"))
    if isinstance(tier, Refusal):
        raise _refused(tier.message, tier.param)
    if fields.get("stream"):
        raise _refused("the answer to a line of a batch cannot be streamed", "stream")
    for name in _STATEFUL:
        if fields.get(name):
            raise _refused(f"{name} needs stored responses, which are off", name)


def _is_unusual(fields: Mapping[str, Any]) -> bool:
    """Whether the endpoint looks at more of it than has been looked at here."""
    if fields.get("priority"):
        return True
    messages = fields.get("messages", fields.get("input", ""))
    if isinstance(messages, str):
        return False
    said = [message.get("content") for message in messages if isinstance(message, Mapping)]
    return not said or not all(map(_is_text, said))


def _is_text(content: object) -> bool:
    """Whether a message says text and nothing else."""
    if isinstance(content, list):
        return all(isinstance(part, Mapping) and part.get("type") in _TEXTS for part in content)
    return isinstance(content, str)


def _bound_tokens(fields: Mapping[str, Any], names: Sequence[str], longest: int | None) -> int:
    """How many tokens the answer may have; 0 if it is not bound.

    A bound above the model's length is refused. One that the prompt leaves no room for is found out
    when the prompt is tokenized.
    """
    for name in names:
        bound = fields.get(name)
        if isinstance(bound, int):
            if longest is not None and bound > longest:
                raise _refused(f"{name} is {bound}, the model's length {longest}", name)
            return bound
    return 0


def _refused(message: str, param: str | None) -> RequestRefused:
    refusal = Refusal(400, message, "invalid_value", param)
    return RequestRefused(refusal, where="line of a batch", fix="Mend the line.")


def _problem(message: str, param: str | None, code: str | None = None) -> BatchError:
    named = "body" if param is None else f"body.{param}"
    return BatchError(code=code or "invalid_request", message=message, param=named)

"""What an answer of the gateway means for a row. Pure.

Three things: an outcome for good, a gateway that does not take the request now (wait, however
long), or a fault (try again, a few times).
"""

from collections.abc import Mapping

import msgspec

from orchestration.batch.asks import Ask, Outcome, RowError, Tokens

BUSY_STATUSES = frozenset({401, 403, 408, 429, 503, 504})
"""401 and 403: the gateway does not know the account of batch work: not the row's fault."""
FAULT_ATTEMPTS: Mapping[int, int] = {502: 10}
"""502: attempt after attempt failed on engine hosts, which may be restarting."""
OTHER_FAULT_ATTEMPTS = 3
_SAID = 300


class Busy(Exception):  # control flow of the row's own loop; never leaves it
    """The request is not taken now."""

    def __init__(self, why: str, retry_after_s: float = 0.0) -> None:
        super().__init__(why)
        self.why, self.retry_after_s = why, retry_after_s


class Faulty(Exception):  # control flow of the row's own loop; never leaves it
    """The request failed; after `attempts` of these, `outcome` is its outcome."""

    def __init__(self, outcome: Outcome, attempts: int) -> None:
        super().__init__(outcome.status)
        self.outcome, self.attempts = outcome, attempts


class _Details(msgspec.Struct, frozen=True):
    cached_tokens: int | None = 0
    reasoning_tokens: int | None = 0


class _Usage(msgspec.Struct, frozen=True):
    """Tokens as any of the endpoints says them."""

    prompt_tokens: int = 0
    completion_tokens: int | None = 0
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Answer(msgspec.Struct, frozen=True):
    usage: _Usage | None = None


_answer = msgspec.json.Decoder(_Answer)


def verdict(ask: Ask, status: int, body: bytes, headers: Mapping[str, str]) -> Outcome:
    """The outcome of `ask`. Raises Busy or Faulty."""
    if status in BUSY_STATUSES:
        raise Busy(f"{status}: {_text(body)}", _retry_after_s(headers))
    outcome = Outcome(
        key=ask.key,
        custom_id=ask.custom_id,
        status=status,
        request_id=headers.get("x-request-id", ""),
        body=_as_line(body),
    )
    if status >= 500:
        raise Faulty(outcome, FAULT_ATTEMPTS.get(status, OTHER_FAULT_ATTEMPTS))
    if status >= 300:
        return outcome
    try:
        answer = _answer.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        said = f"the gateway's answer is not what the endpoint answers: {error}"
        bad = failed(ask, "invalid_answer", said)
        raise Faulty(bad, OTHER_FAULT_ATTEMPTS) from error
    return msgspec.structs.replace(outcome, tokens=_tokens(answer.usage or _Usage()))


def failed(ask: Ask, code: str, message: str) -> Outcome:
    """An error in an answer's place."""
    return Outcome(key=ask.key, custom_id=ask.custom_id, error=RowError(code, message))


def _tokens(usage: _Usage) -> Tokens:
    read = usage.prompt_tokens_details or usage.input_tokens_details or _Details()
    said = usage.completion_tokens_details or usage.output_tokens_details or _Details()
    return Tokens(
        prompt=usage.prompt_tokens or usage.input_tokens,
        completion=usage.completion_tokens or usage.output_tokens,
        cached=read.cached_tokens or 0,
        reasoning=said.reasoning_tokens or 0,
    )


def _as_line(body: bytes) -> msgspec.Raw:
    """The body as JSON on one line; what is no JSON becomes a JSON text."""
    try:
        return msgspec.Raw(msgspec.json.format(body, indent=-1))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.Raw(msgspec.json.encode(_text(body)))


def _retry_after_s(headers: Mapping[str, str]) -> float:
    try:
        return max(0.0, float(headers.get("retry-after", "0")))
    except ValueError:
        return 0.0


def _text(body: bytes) -> str:
    return body[:_SAID].decode(errors="replace")

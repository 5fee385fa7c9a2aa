"""One generation on the wire: a request of token ids in, a stream of frames out.

A stream is `Admitted`, any number of `Tokens`, then exactly one of `Finished`, `HandedBack`,
`Failed`. It may be handed back or fail before it is admitted. Between tokens of a batch generation
`Held` and `Released` may come, in turn.
"""

from typing import Annotated, Any, Literal

import msgspec

RequestClass = Literal["interactive", "batch"]
HandedBackReason = Literal["evicted", "hotswap", "not_awake", "shutdown"]


class StructuredSpec(msgspec.Struct, omit_defaults=True, frozen=True):
    """Constrained decoding; exactly one of the first six is set (vLLM's own meanings)."""

    json: str | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    structural_tag: str | None = None
    disable_any_whitespace: bool = False
    disable_additional_properties: bool = False
    whitespace_pattern: str | None = None


class SamplingSpec(msgspec.Struct, omit_defaults=True, frozen=True):
    """How to choose tokens. Text-level settings (stop strings) never come here.

    `max_tokens` and `min_tokens` count from the end of the prompt, whatever was resumed: the
    host subtracts what the generation already has.
    """

    max_tokens: int
    min_tokens: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    stop_token_ids: list[int] = []
    eos_token_id: int | None = None
    ignore_eos: bool = False
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    logit_bias: dict[int, float] | None = None
    allowed_token_ids: list[int] | None = None
    bad_words: list[str] | None = None
    structured: StructuredSpec | None = None


class GenerateRequest(msgspec.Struct, omit_defaults=True, frozen=True):
    """Generate on the awake model: prompt, then the tokens the generation already has."""

    request_id: str
    model: str
    request_class: RequestClass
    prompt_token_ids: list[int]
    sampling: SamplingSpec
    resumed_token_ids: list[int] = []
    attempt: int = 1
    evictable: bool = True
    """False: do not evict to make room (it could not be resumed exactly). A hotswap still may."""
    cache_salt: str | None = None
    account: str = ""
    """Whose request it is: within a class, accounts share a host by their weights."""
    weight: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """Of the account, against the others'."""
    deadline_s: float | None = None
    """Of a batch request: how long from now its whole batch may take."""
    evictions: int = 0
    """How often it was evicted before, anywhere."""


class TokenLogprobs(msgspec.Struct, frozen=True, array_like=True):
    """Log-probabilities at one position, the sampled token first, then by rank."""

    token_ids: list[int]
    logprobs: list[float]
    rank: int
    """Rank of the sampled token, 1 is the most likely."""


class Admitted(msgspec.Struct, frozen=True, tag="admitted"):
    """The request has a slot. `queue_s`: how long it waited for it on this host."""

    host: str
    queue_s: float


class Tokens(msgspec.Struct, frozen=True, omit_defaults=True, tag="tokens"):
    """New output tokens, in order; `logprobs` has one entry a token if they were asked for."""

    token_ids: list[int]
    logprobs: list[TokenLogprobs] | None = None
    prompt_logprobs: list[TokenLogprobs | None] | None = None
    """With the first tokens of a first attempt, one entry a prompt token (None for the first)."""
    cached_tokens: int | None = None
    """With the first tokens of an attempt: prompt and resumed tokens found in the prefix cache."""


class Held(msgspec.Struct, frozen=True, tag="held"):
    """Evicted in place: it keeps its KV cache on the engine and gets no tokens for now.

    The receiver may close the stream and resume elsewhere, or wait for `Released`.
    """


class Released(msgspec.Struct, frozen=True, tag="released"):
    """It has a slot again, where it was held."""


class Finished(msgspec.Struct, frozen=True, omit_defaults=True, tag="finished"):
    """The engine ended the generation."""

    reason: Literal["stop", "length", "repetition"]
    stop_token_id: int | None = None


class HandedBack(msgspec.Struct, frozen=True, tag="handed_back"):
    """The host gives the generation back; the receiver resumes it with all tokens received."""

    reason: HandedBackReason


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The generation cannot go on here. `retryable`: another attempt may succeed."""

    message: str
    retryable: bool


Frame = Admitted | Tokens | Held | Released | Finished | HandedBack | Failed

Json = dict[str, Any]

"""A generation: the gateway's record of one sequence being made.

Prompt, sampling, every token received, the attempts so far: enough to go on anywhere. Plain
state and its transitions; who talks to hosts is `serving.gateway.attempts`.
"""

import time
from dataclasses import dataclass, field

import msgspec

from serving.gateway.failures import ReplayDiverged
from serving.gateway.resume import Continuation, boundary_parameters, continuation
from serving.wire import GenerateRequest, RequestClass, SamplingSpec, Tokens


@dataclass
class Generation:
    """One sequence of one request. `streamed`: its client sees tokens before the end."""

    request_id: str
    """The client's request; its generations (`n` > 1) share it on logs, wire and events."""
    generation_id: str
    model: str
    request_class: RequestClass
    prompt_token_ids: list[int]
    sampling: SamplingSpec
    max_model_len: int
    streamed: bool
    cache_salt: str | None = None

    token_ids: list[int] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    """The host of every attempt, in order."""
    evictions: int = 0
    cached_tokens: int | None = None
    """Prompt tokens that the first prefill found in a prefix cache; None before it."""
    recomputed_tokens: int = 0
    first_slot_at: float | None = None
    first_token_at: float | None = None
    last_token_at: float | None = None
    finished: bool = False

    _to_replay: int = 0
    """Held tokens that this attempt has yet to say again."""
    _prefilled_tokens: int = 0
    _has_prompt_logprobs: bool = False

    def next_step(self) -> Continuation:
        """How to go on from here."""
        return continuation(
            self.sampling,
            prompt_tokens=len(self.prompt_token_ids),
            held=self.token_ids,
            streamed=self.streamed,
            max_model_len=self.max_model_len,
        )

    def begin_attempt(self, step: Continuation, host: str) -> GenerateRequest:
        """Record an attempt on `host` and say what to send there."""
        if step.kind == "start_over":
            self.token_ids.clear()
            self._has_prompt_logprobs = False
        self.hosts.append(host)
        self._to_replay = len(self.token_ids) if step.kind == "replay" else 0
        resumed = list(self.token_ids) if step.kind == "resume" else []
        self._prefilled_tokens = len(self.prompt_token_ids) + len(resumed)
        return GenerateRequest(
            request_id=self.request_id,
            model=self.model,
            request_class=self.request_class,
            prompt_token_ids=self.prompt_token_ids,
            sampling=self._sampling_now(),
            resumed_token_ids=resumed,
            attempt=len(self.hosts),
            evictable=not boundary_parameters(self.sampling),
            cache_salt=self.cache_salt,
        )

    def admitted(self) -> None:
        """A host gave it a slot."""
        if self.first_slot_at is None:
            self.first_slot_at = time.time()

    def accept(self, tokens: Tokens) -> Tokens:
        """Add new tokens to the record; returns those that were not there before.

        Raises ReplayDiverged if a replay says something else than what is held.
        """
        self._count_cached(tokens.cached_tokens)
        if tokens.prompt_logprobs is not None:
            self._has_prompt_logprobs = True
        fresh = self._after_replay(tokens)
        if fresh.token_ids:
            self.token_ids += fresh.token_ids
            self.last_token_at = time.time()
            self.first_token_at = self.first_token_at or self.last_token_at
        return fresh

    def _sampling_now(self) -> SamplingSpec:
        if self._has_prompt_logprobs:
            return msgspec.structs.replace(self.sampling, prompt_logprobs=None)
        return self.sampling

    def _count_cached(self, cached: int | None) -> None:
        if cached is None:
            return
        if self.cached_tokens is None:
            self.cached_tokens = cached
        else:
            self.recomputed_tokens += max(0, self._prefilled_tokens - cached)

    def _after_replay(self, tokens: Tokens) -> Tokens:
        again = min(self._to_replay, len(tokens.token_ids))
        if not again:
            return tokens
        start = len(self.token_ids) - self._to_replay
        if tokens.token_ids[:again] != self.token_ids[start : start + again]:
            raise ReplayDiverged(
                f"another token came after {start} that were the same",
                where=f"generation {self.generation_id}",
                fix="Send the request again.",
            )
        self._to_replay -= again
        return Tokens(
            token_ids=tokens.token_ids[again:],
            logprobs=None if tokens.logprobs is None else tokens.logprobs[again:],
            prompt_logprobs=tokens.prompt_logprobs,
        )

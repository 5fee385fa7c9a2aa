"""A generation: the gateway's record of one sequence being made.

Prompt, sampling, every token received, the attempts so far: enough to go on anywhere. Plain
state and its transitions; who talks to hosts is `serving.gateway.attempts`.
"""

import time
from dataclasses import dataclass, field

import msgspec

from serving.gateway.failures import ReplayDiverged
from serving.gateway.gaps import TokenGaps
from serving.gateway.lines.partials import Checkpoint, Keeping
from serving.gateway.lines.suspicion import INNOCENT, Suspicion
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
    account: str = ""
    weight: float = 1.0
    deadline_at: float | None = None
    """When (monotonic) its batch is due."""
    checkpoint: Checkpoint | None = None
    """Under what it is kept over this gateway's death; None: it is not."""

    token_ids: list[int] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    """The host of every attempt, in order."""
    evictions: int = 0
    """Times it was held or handed back to make room."""
    cached_tokens: int | None = None
    """Prompt tokens that the first prefill found in a prefix cache; None before it."""
    recomputed_tokens: int = 0
    saved_tokens: int = 0
    """Tokens that were not computed again: found cached by a resume, or kept by being held."""
    prefilled_tokens: int = 0
    """Prompt and resumed tokens of the attempt that runs."""
    gaps: TokenGaps = field(default_factory=TokenGaps)
    first_slot_at: float | None = None
    first_token_at: float | None = None
    last_token_at: float | None = None
    finished: bool = False
    suspicion: Suspicion = INNOCENT
    restored_tokens: int = 0
    """Those that an earlier gateway, or an earlier request for the same, had received."""

    _keeping: Keeping | None = None
    _held_since: float | None = None
    _held_s: float = 0.0
    _to_replay: int = 0
    """Kept tokens that this attempt has yet to say again."""
    _has_prompt_logprobs: bool = False

    def next_step(self) -> Continuation:
        """How to go on from here."""
        return continuation(
            self.sampling,
            prompt_tokens=len(self.prompt_token_ids),
            kept=self.token_ids,
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
        self.prefilled_tokens = len(self.prompt_token_ids) + len(resumed)
        return GenerateRequest(
            request_id=self.request_id,
            model=self.model,
            request_class=self.request_class,
            prompt_token_ids=self.prompt_token_ids,
            sampling=self._sampling_now(),
            resumed_token_ids=resumed,
            attempt=len(self.hosts),
            evictable=self.movable,
            cache_salt=self.cache_salt,
            account=self.account,
            weight=self.weight,
            deadline_s=self.due_in_s,
            evictions=self.evictions,
        )

    @property
    def due_in_s(self) -> float | None:
        """In how many seconds it is due, if it is."""
        return None if self.deadline_at is None else max(0.0, self.deadline_at - time.monotonic())

    @property
    def work(self) -> str:
        """The batch that it is of; empty if it is of none that is known."""
        return "" if self.checkpoint is None else self.checkpoint.work

    @property
    def movable(self) -> bool:
        """It may leave its host: elsewhere it would go on exactly."""
        return not boundary_parameters(self.sampling)

    @property
    def held_s(self) -> float:
        """How long it has been held, in all."""
        now_s = 0.0 if self._held_since is None else time.monotonic() - self._held_since
        return self._held_s + now_s

    @property
    def this_hold_s(self) -> float:
        """How long it is being held now."""
        return 0.0 if self._held_since is None else time.monotonic() - self._held_since

    @property
    def kept_tokens(self) -> int:
        """What a resume on another replica computes again."""
        return len(self.prompt_token_ids) + len(self.token_ids)

    @property
    def left_tokens(self) -> int:
        """At most so many tokens are still to come."""
        return self.sampling.max_tokens - len(self.token_ids)

    def hold(self) -> None:
        """Its host evicted it in place."""
        self.evicted()
        self._held_since = self._held_since or time.monotonic()

    def release(self) -> None:
        """It has its slot again, where it was held."""
        if self._held_since is not None:
            self.saved_tokens += self.kept_tokens
            self.leave()

    def leave(self) -> None:
        """It is off its host; a hold ends with that."""
        self._held_s, self._held_since = self.held_s, None

    def evicted(self) -> None:
        """A host takes its slot. One that is held has none to lose."""
        if self._held_since is None:
            self.evictions += 1

    def admitted(self) -> None:
        """A host gave it a slot."""
        if self.first_slot_at is None:
            self.first_slot_at = time.time()

    def accept(self, tokens: Tokens) -> Tokens:
        """Add new tokens to the record; returns those that were not there before.

        Raises ReplayDiverged if a replay says something else than what was kept.
        """
        if tokens.prompt_logprobs is not None:
            self._has_prompt_logprobs = True
        fresh = self._after_replay(self._with_cached_counted(tokens))
        if fresh.token_ids:
            self.token_ids += fresh.token_ids
            self._clock()
        return fresh

    def keep(self, keeping: Keeping) -> Tokens | None:
        """From now on what it gets is kept. Returns the tokens that it has from before."""
        self._keeping, self.suspicion = keeping, keeping.suspicion
        restored = keeping.restored if self.movable else None
        if restored is None:
            return None
        self.restored_tokens = len(restored.token_ids)
        return self.accept(restored)

    def keep_new(self, fresh: Tokens) -> None:
        """These are in the record now. What cannot be resumed exactly is not worth keeping."""
        if self._keeping is not None and self.movable:
            self._keeping.grew(fresh)

    def suspect(self, suspicion: Suspicion) -> None:
        """What engines' deaths say against it now."""
        if suspicion != self.suspicion:
            self.suspicion = suspicion
            if self._keeping is not None:
                self._keeping.suspect(suspicion)

    def drop_surplus(self, tokens: int) -> None:
        """The last so many tokens came in one portion with the end of the answer, and after it."""
        if tokens:
            del self.token_ids[-tokens:]

    def _clock(self) -> None:
        now = time.time()
        if self.last_token_at is None:
            self.first_token_at = now
        else:
            self.gaps.add(now - self.last_token_at)
        self.last_token_at = now

    def _sampling_now(self) -> SamplingSpec:
        if self._has_prompt_logprobs:
            return msgspec.structs.replace(self.sampling, prompt_logprobs=None)
        return self.sampling

    def _with_cached_counted(self, tokens: Tokens) -> Tokens:
        """What the first prefill found is the client's to know: a resume finds output too."""
        cached = tokens.cached_tokens
        if cached is None:
            return tokens
        if self.cached_tokens is None:
            self.cached_tokens = cached
            return tokens
        self.saved_tokens += cached
        self.recomputed_tokens += max(0, self.prefilled_tokens - cached)
        return msgspec.structs.replace(tokens, cached_tokens=self.cached_tokens)

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

"""A modelled engine: prompts one after another in chunks, generations side by side.

Exact for the service model between events: every generation advances at the same rate, so each is
kept by the count of tokens at which it will end (processor sharing in virtual time), and an event
costs the logarithm of the batch. No queue and no choice of request here.
"""

import heapq
from collections import deque
from dataclasses import dataclass

from simulation.service import ServiceModel

NEVER = float("inf")


@dataclass(slots=True, eq=False)
class Request:
    """One request of the trace on its way."""

    number: int
    model: int
    batch: bool
    arrived_at: float
    input_tokens: int
    output_tokens: int
    kept_tokens: float = 0.0
    """Output it has after being taken off an engine."""
    first_token_at: float = NEVER
    ended_at: float = NEVER
    disturbed: int = 0

    @property
    def ttft_s(self) -> float:
        """Time to first token; infinite while there is none."""
        return self.first_token_at - self.arrived_at

    @property
    def prompt_tokens(self) -> float:
        """What is computed before it goes on: its prompt, and the output it has."""
        return max(1.0, self.input_tokens + self.kept_tokens)

    @property
    def tpot_s(self) -> float:
        """Mean time per output token after the first; infinite while it runs."""
        if self.output_tokens < 2:
            return 0.0 if self.ended_at < NEVER else NEVER
        return (self.ended_at - self.first_token_at) / (self.output_tokens - 1)


class Engine:
    """What runs on one host's awake engine."""

    def __init__(self, service: ServiceModel, now: float) -> None:
        self.service = service
        self.busy_s = 0.0
        """Time in which anything ran."""
        self._now = now
        self._prompts: deque[Request] = deque()
        self._prompt_left = 0.0
        self._decoding: list[tuple[float, int, Request]] = []
        self._decoded = 0.0
        """Tokens that a generation present since the start would have."""
        self._token_rate = 0.0
        self._prompt_rate = 0.0
        self.interactive = 0
        self.prompt_tokens = 0.0
        """Of all prompts that wait or are computed."""
        self._context = 0.0
        """Tokens of what is generated, were `_decoded` 0."""
        self.pace = 1.0
        """How many times as long everything takes as on a machine of its own."""

    @property
    def running(self) -> int:
        """Requests that have a slot."""
        return len(self._prompts) + len(self._decoding)

    @property
    def free_slots(self) -> int:
        """Slots that are left."""
        return self.service.slots - self.running

    @property
    def prompts(self) -> int:
        """Requests whose prompt waits or is computed."""
        return len(self._prompts)

    @property
    def context_tokens(self) -> float:
        """Prompt and output so far of all that is generated: what resuming it would compute."""
        return self._context + len(self._decoding) * self._decoded

    def next_event_at(self) -> float:
        """When the first prompt is computed or the first generation ends, if nobody comes."""
        at = NEVER
        if self._prompts:
            at = self._now + self._prompt_left / self._prompt_rate
        if self._decoding:
            left = self._decoding[0][0] - self._decoded
            at = min(at, self._now + max(0.0, left) / self._token_rate)
        return at

    def add(self, request: Request, now: float) -> None:
        """Give `request` a slot. The caller has advanced to `now`."""
        self._prompts.append(request)
        self.prompt_tokens += request.prompt_tokens
        self.interactive += not request.batch
        if len(self._prompts) == 1:
            self._begin_prompt()
        self._set_rates()

    def set_pace(self, pace: float) -> None:
        """From now on all takes `pace` times as long. The caller has advanced to now."""
        self.pace = pace
        self._set_rates()

    def advance(self, now: float) -> list[Request]:
        """Let time pass; the requests that ended, in order. `now` is not past the next event."""
        passed_s = now - self._now
        if passed_s > 0 and self.running:
            self.busy_s += passed_s
            self._decoded += self._token_rate * passed_s
            self._prompt_left -= self._prompt_rate * passed_s
        self._now = now
        ended = self._ended()
        began = self._prompt_done()
        if ended or began:
            self._set_rates()
        return ended

    def take_all(self) -> list[Request]:
        """Take everything off, each with the tokens it has; oldest arrival first."""
        taken = list(self._prompts)
        for ends_at, _, request in self._decoding:
            request.kept_tokens = request.output_tokens - max(0.0, ends_at - self._decoded)
            taken.append(request)
        self._prompts.clear()
        self._decoding.clear()
        self.interactive = 0
        self.prompt_tokens = self._context = 0.0
        self._set_rates()
        return sorted(taken, key=lambda request: request.number)

    def _ended(self) -> list[Request]:
        ended = []
        while self._decoding and self._decoding[0][0] <= self._decoded + 1e-6:
            ends_at, _, request = heapq.heappop(self._decoding)
            self._context -= request.input_tokens + request.output_tokens - ends_at
            request.ended_at = self._now
            self.interactive -= not request.batch
            ended.append(request)
        return ended

    def _prompt_done(self) -> bool:
        if not self._prompts or self._prompt_left > 1e-6:
            return False
        request = self._prompts.popleft()
        self.prompt_tokens -= request.prompt_tokens
        if request.first_token_at == NEVER:
            request.first_token_at = self._now
        # The prefill gives the first token; a resume gives the one after those that are kept.
        left = request.output_tokens - request.kept_tokens - 1
        ends_at = self._decoded + max(0.0, left)
        heapq.heappush(self._decoding, (ends_at, request.number, request))
        self._context += request.input_tokens + request.output_tokens - ends_at
        if self._prompts:
            self._begin_prompt()
        return True

    def _begin_prompt(self) -> None:
        self._prompt_left = self._prompts[0].prompt_tokens

    def _set_rates(self) -> None:
        token_rate, prompt_rate = self.service.rates(
            len(self._decoding), prefilling=bool(self._prompts)
        )
        self._token_rate, self._prompt_rate = token_rate / self.pace, prompt_rate / self.pace

"""What the gateway knows of one HTTP request while it is served, and its event at the end.

One owner: the dispatcher makes it and closes it. Code below vLLM's app finds it in a context
variable, since vLLM's calls carry none of it.
"""

import time
from contextvars import ContextVar
from dataclasses import dataclass, field

from analytics.events import Outcome, RequestArrived, RequestEnded
from serving.gateway.accounts import OPEN, Account
from serving.gateway.failures import WAITED_IN_VAIN, Refusal
from serving.gateway.gaps import TokenGaps
from serving.gateway.generation import Generation
from serving.wire import RequestClass


@dataclass
class RequestRecord:
    """One request."""

    request_id: str
    model: str
    request_class: RequestClass
    endpoint: str
    replica_wait_s: float
    account: Account = OPEN
    deadline_at: float | None = None
    """When (monotonic) the batch that it is of is due."""
    checkpoint_key: str | None = None
    """Under what its client will ask again, should this gateway die."""
    arrived_at: float = field(default_factory=time.time)
    generations: list[Generation] = field(default_factory=list)
    refusal: Refusal | None = None
    """Why it could not be served, once that is known."""
    disconnected: bool = False
    rehearsal: bool = False
    """Nothing is to be generated: it is only to show whether it could be."""
    would_run: bool = False
    """A rehearsal came to the point at which it would be generated from."""

    @property
    def started(self) -> bool:
        """Whether any token of it exists, so that its answer may begin."""
        return any(generation.first_token_at is not None for generation in self.generations)

    def arrival(self) -> RequestArrived:
        """The event of its arrival."""
        return RequestArrived(
            arrived_at=self.arrived_at,
            request_id=self.request_id,
            model=self.model,
            request_class=self.request_class,
            endpoint=self.endpoint,
            deadline_s=self._deadline_s(),
        )

    def _deadline_s(self) -> float | None:
        """From its arrival."""
        if self.deadline_at is None:
            return None
        return self.deadline_at - time.monotonic() + time.time() - self.arrived_at

    def outcome(self, status: int) -> Outcome:
        """How it ended."""
        if self.refusal is not None:
            rejected = self.refusal.status < 500 or self.refusal.code in WAITED_IN_VAIN
            return "rejected" if rejected else "failed"
        if self.disconnected:
            return "cancelled"
        if status >= 400:
            return "rejected" if status < 500 else "failed"
        return "completed"

    def end(self, status: int) -> RequestEnded:
        """The event of its end."""
        now, made = time.time(), self.generations
        slots = [g.first_slot_at for g in made if g.first_slot_at is not None]
        firsts = [g.first_token_at for g in made if g.first_token_at is not None]
        return RequestEnded(
            ended_at=now,
            arrived_at=self.arrived_at,
            request_id=self.request_id,
            model=self.model,
            request_class=self.request_class,
            endpoint=self.endpoint,
            outcome=self.outcome(status),
            status=status,
            queue_s=min(slots) - self.arrived_at if slots else None,
            ttft_s=min(firsts) - self.arrived_at if firsts else None,
            tpot_s=_tpot_s(made),
            total_s=now - self.arrived_at,
            prompt_tokens=_prompt_tokens(made),
            output_tokens=sum(len(g.token_ids) for g in made),
            cached_tokens=sum(g.cached_tokens or 0 for g in made),
            recomputed_tokens=sum(g.recomputed_tokens for g in made),
            attempts=max((len(g.hosts) for g in made), default=0),
            evictions=sum(g.evictions for g in made),
            account=self.account.name,
            held_s=sum(g.held_s for g in made),
            saved_tokens=sum(g.saved_tokens for g in made),
            longest_gap_s=self.gaps().longest_s,
            hosts=list(dict.fromkeys(host for g in made for host in g.hosts)),
            error=None if self.refusal is None else self.refusal.message,
        )

    def gaps(self) -> TokenGaps:
        """The times between the tokens of all its generations."""
        all_of_them = TokenGaps()
        for generation in self.generations:
            all_of_them.merge(generation.gaps)
        return all_of_them


current_request: ContextVar[RequestRecord] = ContextVar("current_request")


def _tpot_s(generations: list[Generation]) -> float | None:
    spans = [
        (g.last_token_at - g.first_token_at, len(g.token_ids) - max(1, g.restored_tokens))
        for g in generations
        if g.first_token_at is not None and g.last_token_at is not None
    ]
    tokens = sum(count for _, count in spans)
    return sum(span for span, _ in spans) / tokens if tokens else None


def _prompt_tokens(generations: list[Generation]) -> int:
    """Prompt tokens, those of several samples of one prompt counted once."""
    prompts = {id(g.prompt_token_ids): len(g.prompt_token_ids) for g in generations}
    return sum(prompts.values())

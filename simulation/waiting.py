"""Requests of one model that no engine has a slot for."""

from bisect import insort
from collections import deque
from collections.abc import Sequence

from serving.queueing import Line
from simulation.engine import NEVER, Request

NOT_DUE_S = 1e9
"""Longer than any trace: in the order of their arrival."""


class Waiting:
    """Interactive ones that were handed back with tokens, other interactive ones, batch.

    In this order; what was handed back goes before what never ran.
    """

    def __init__(self, ttft_s: float = NOT_DUE_S, prompt_token_s: float = 0.0) -> None:
        """With `ttft_s`, those that can be answered in it go first; else all in their order."""
        self._resumed: deque[Request] = deque()
        self._line = Line[Request](
            due_at=lambda request: request.arrived_at + ttft_s,
            work_s=lambda request: request.prompt_tokens * prompt_token_s,
            computing=lambda request: request.first_token_at == NEVER,
        )
        self._batch: deque[Request] = deque()
        self.interactive_since = NEVER
        """Since when some interactive request has waited all the time."""
        self.batch_since = NEVER
        self.prompt_tokens = 0.0
        """Of the interactive ones."""

    def __len__(self) -> int:
        return self.interactive + self.batch

    @property
    def interactive(self) -> int:
        """How many interactive requests wait."""
        return len(self._resumed) + len(self._line)

    @property
    def batch(self) -> int:
        """How many batch requests wait."""
        return len(self._batch)

    def add(self, request: Request, now: float) -> None:
        """`request` has come, or was handed back: then it goes before what came later."""
        self._begin(request, now)
        if request.batch:
            self._insert(self._batch, request)
        elif request.first_token_at < NEVER:
            self._insert(self._resumed, request)
        else:
            self._line.add(request)

    def arrange(self, now: float, free_in_s: Sequence[float]) -> None:
        """Choose who is to be in time, on engines that have computed what they have in so long."""
        self._line.arrange(now, free_in_s)

    def first(self) -> Request | None:
        """Who is next; None when nobody is to be sent now."""
        if self._resumed:
            return self._resumed[0]
        return self._line.first() or (self._batch[0] if self._batch else None)

    def take(self) -> Request:
        """Take the first one out."""
        if not self._resumed and self._line.first() is None:
            return self._batch.popleft()
        request = self._resumed.popleft() if self._resumed else self._line.take()
        self.prompt_tokens -= request.prompt_tokens
        return request

    def oldest_at(self) -> float:
        """When the request that waits longest arrived; infinite when nobody waits."""
        firsts = [queue[0] for queue in (self._resumed, self._batch) if queue]
        if (oldest := self._line.oldest()) is not None:
            firsts.append(oldest)
        return min((request.arrived_at for request in firsts), default=NEVER)

    def _insert(self, queue: deque[Request], request: Request) -> None:
        if queue and request.number < queue[-1].number:
            insort(queue, request, key=lambda each: each.number)
        else:
            queue.append(request)

    def _begin(self, request: Request, now: float) -> None:
        if request.batch:
            if not self.batch:
                self.batch_since = now
            return
        if not self.interactive:
            self.interactive_since, self.prompt_tokens = now, 0.0
        self.prompt_tokens += request.prompt_tokens

"""Requests of one model that no engine has a slot for."""

from collections import deque

from simulation.engine import NEVER, Request


class Waiting:
    """Interactive ones, those of them that are late, batch: in this order.

    What was handed back goes before what never ran.
    """

    def __init__(self) -> None:
        self._in_time: deque[Request] = deque()
        self._late: deque[Request] = deque()
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
        return len(self._in_time) + len(self._late)

    @property
    def batch(self) -> int:
        """How many batch requests wait."""
        return len(self._batch)

    def add(self, request: Request, now: float) -> None:
        """Put `request` last."""
        self._begin(request, now)
        (self._batch if request.batch else self._in_time).append(request)

    def add_first(self, request: Request, now: float) -> None:
        """Put `request` first: it was handed back."""
        self._begin(request, now)
        (self._batch if request.batch else self._in_time).appendleft(request)

    def put_late_last(self, came_before: float) -> None:
        """Interactive requests without a first token that came before then go after the others."""
        queue = self._in_time
        while queue and queue[0].arrived_at < came_before and queue[0].first_token_at == NEVER:
            self._late.append(queue.popleft())

    def first(self) -> Request | None:
        """Who is next; None when nobody waits."""
        queue = self._in_time or self._late or self._batch
        return queue[0] if queue else None

    def take(self) -> Request:
        """Take the first one out."""
        request = (self._in_time or self._late or self._batch).popleft()
        if not request.batch:
            self.prompt_tokens -= request.prompt_tokens
        return request

    def oldest_at(self) -> float:
        """When the request that waits longest arrived; infinite when nobody waits."""
        queues = (self._in_time, self._late, self._batch)
        return min((queue[0].arrived_at for queue in queues if queue), default=NEVER)

    def _begin(self, request: Request, now: float) -> None:
        if request.batch:
            if not self.batch:
                self.batch_since = now
            return
        if not self.interactive:
            self.interactive_since, self.prompt_tokens = now, 0.0
        self.prompt_tokens += request.prompt_tokens

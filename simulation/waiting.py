"""Requests of one model that no engine has a slot for."""

from collections import deque

from simulation.engine import NEVER, Request


class Waiting:
    """Two queues, interactive first; what was handed back goes before what never ran."""

    def __init__(self) -> None:
        self.interactive: deque[Request] = deque()
        self.batch: deque[Request] = deque()
        self.interactive_since = NEVER
        """Since when some interactive request has waited all the time."""
        self.batch_since = NEVER
        self.prompt_tokens = 0.0
        """Of the interactive ones."""

    def __len__(self) -> int:
        return len(self.interactive) + len(self.batch)

    def add(self, request: Request, now: float) -> None:
        """Put `request` last."""
        self._begin(request, now)
        self._of(request).append(request)

    def add_first(self, request: Request, now: float) -> None:
        """Put `request` first: it was handed back."""
        self._begin(request, now)
        self._of(request).appendleft(request)

    def first(self) -> Request | None:
        """Who is next; None when nobody waits."""
        queue = self.interactive or self.batch
        return queue[0] if queue else None

    def take(self) -> Request:
        """Take the first one out."""
        request = (self.interactive or self.batch).popleft()
        if not request.batch:
            self.prompt_tokens -= request.prompt_tokens
        return request

    def oldest_at(self) -> float:
        """When the request that waits longest arrived; infinite when nobody waits."""
        heads = [queue[0].arrived_at for queue in (self.interactive, self.batch) if queue]
        return min(heads, default=NEVER)

    def _of(self, request: Request) -> deque[Request]:
        return self.batch if request.batch else self.interactive

    def _begin(self, request: Request, now: float) -> None:
        if request.batch:
            if not self.batch:
                self.batch_since = now
            return
        if not self.interactive:
            self.interactive_since, self.prompt_tokens = now, 0.0
        self.prompt_tokens += request.prompt_tokens

"""Requests of one model that no engine has a slot for."""

from collections import deque
from collections.abc import Iterable

from serving.queueing.in_time import Prompt, in_time
from simulation.engine import NEVER, Request

LATE_SHARE = 0.1
MARGIN_S = 0.0
LATE_ENGINES = 0.5


class Waiting:
    """Interactive ones, those of them that are late, batch: in this order.

    What was handed back goes before what never ran.
    """

    def __init__(self) -> None:
        self._resumed: deque[Request] = deque()
        self._in_time: deque[Request] = deque()
        self._late: deque[Request] = deque()
        self._batch: deque[Request] = deque()
        self._credit = 0.0
        self._late_out: set[Request] = set()
        self._late_most = 1
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
        return len(self._resumed) + len(self._in_time) + len(self._late)

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
        if request.batch:
            self._batch.appendleft(request)
        elif request.first_token_at < NEVER:
            self._resumed.appendleft(request)
        else:
            self._in_time.appendleft(request)

    def put_late_last(
        self, now: float, ttft_s: float, token_s: float, free_in_s: Iterable[float]
    ) -> None:
        """Requests that cannot be in time go after the others."""
        if not self._in_time:
            if not self._late:
                return
        free_in_s = list(free_in_s)
        self._late_most = max(1, int(len(free_in_s) * LATE_ENGINES))
        self._late_out = {r for r in self._late_out if r.first_token_at == NEVER}
        everyone = [*self._in_time, *self._late]
        everyone.sort(key=lambda r: r.number)
        late_before = now - ttft_s
        fresh = [r for r in everyone if r.arrived_at >= late_before]
        late = [r for r in everyone if r.arrived_at < late_before]
        prompts = [
            Prompt(r.arrived_at + ttft_s - now - MARGIN_S, r.prompt_tokens * token_s) for r in fresh
        ]
        chosen = in_time(prompts, free_in_s)
        self._in_time = deque(r for r, c in zip(fresh, chosen, strict=True) if c)
        put_off = [r for r, c in zip(fresh, chosen, strict=True) if not c]
        self._late = deque([*late, *put_off])

    def _next(self) -> deque[Request]:
        if self._resumed:
            return self._resumed
        if self._late and self._in_time and self._credit >= self._late[0].prompt_tokens:
            return self._late
        if self._in_time:
            return self._in_time
        if self._late and len(self._late_out) < self._late_most:
            return self._late
        return self._batch

    def first(self) -> Request | None:
        """Who is next; None when nobody waits."""
        queue = self._next()
        return queue[0] if queue else None

    def take(self) -> Request:
        """Take the first one out."""
        queue = self._next()
        request = queue.popleft()
        if queue is self._late:
            self._late_out.add(request)
            self._credit = max(0.0, self._credit - request.prompt_tokens)
        elif queue is self._in_time and self._late:
            self._credit += request.prompt_tokens * LATE_SHARE
        if not self._late:
            self._credit = 0.0
        if not request.batch:
            self.prompt_tokens -= request.prompt_tokens
        return request

    def oldest_at(self) -> float:
        """When the request that waits longest arrived; infinite when nobody waits."""
        queues = (self._resumed, self._in_time, self._late, self._batch)
        return min((queue[0].arrived_at for queue in queues if queue), default=NEVER)

    def _begin(self, request: Request, now: float) -> None:
        if request.batch:
            if not self.batch:
                self.batch_since = now
            return
        if not self.interactive:
            self.interactive_since, self.prompt_tokens = now, 0.0
        self.prompt_tokens += request.prompt_tokens

"""One model's line: requests that wait, and whose turn it is.

As many as can be are to be answered in time (`in_time`): these go first, in the order they are due.
The others have nothing more to lose, and nobody is left waiting for ever: they get a share of all
prompt work, oldest first, and what those in time leave. No clock, no engines, no effects.
"""

from bisect import insort
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from serving.queueing.in_time import Prompt, in_time

LATE_SHARE = 0.1
"""Of the prompt work that is sent while they wait, what those that are late get at least: they are
sent after ten times their work at the latest, and cost the others a tenth."""

LATE_ENGINES = 0.5
"""Share of the engines that compute prompts of late ones at once, beyond what these are owed: a
prompt that has begun cannot be put aside, so the others are left to whoever comes in time."""

LEAST_WORK_S = 0.01
"""Of any prompt, where less or nothing is known."""

T = TypeVar("T")


class Line(Generic[T]):
    """Those that wait for one model."""

    def __init__(
        self,
        *,
        due_at: Callable[[T], float],
        work_s: Callable[[T], float],
        computing: Callable[[T], bool],
    ) -> None:
        """`due_at`: by when its first token is. `work_s`: how long an engine computes its prompt.

        `computing`: whether one that was sent is on an engine and has no first token yet.
        """
        self._due_at, self._work_s, self._computing = due_at, work_s, computing
        self._in_time: deque[T] = deque()
        self._put_off: deque[T] = deque()
        """Not late yet, but will be if nothing changes."""
        self._late: deque[T] = deque()
        self._sent_late: list[T] = []
        self._owed_s = 0.0
        """Work that the late ones are to get before those in time."""
        self._engines = 0

    def __len__(self) -> int:
        return len(self._in_time) + len(self._put_off) + len(self._late)

    def __contains__(self, item: object) -> bool:
        return any(item in part for part in self._parts)

    def add(self, item: T) -> None:
        """`item` waits, at its place by when it is due."""
        if item in self._sent_late:
            self._sent_late.remove(item)
        self._insert(self._in_time, item)

    def remove(self, item: T) -> None:
        """`item` waits no more. Raises ValueError if it did not."""
        next((part for part in self._parts if item in part), self._in_time).remove(item)

    def arrange(self, now: float, free_in_s: Sequence[float]) -> None:
        """Choose who is to be in time, on engines that have computed what they have in so long."""
        waiting = deque(sorted([*self._in_time, *self._put_off], key=self._due_at))
        while waiting and self._due_at(waiting[0]) < now:
            self._insert(self._late, waiting.popleft())
        prompts = [Prompt(self._due_at(item) - now, self._work_s(item)) for item in waiting]
        chosen = list(zip(waiting, in_time(prompts, free_in_s), strict=True))
        self._in_time = deque(item for item, is_chosen in chosen if is_chosen)
        self._put_off = deque(item for item, is_chosen in chosen if not is_chosen)
        self._sent_late = [item for item in self._sent_late if self._computing(item)]
        self._engines = len(free_in_s)

    def oldest(self) -> T | None:
        """Who is due first, or was; None if nobody waits."""
        return min((part[0] for part in self._parts if part), key=self._due_at, default=None)

    def first(self) -> T | None:
        """Whose turn it is; None if nobody waits, or those that do leave the engines to others."""
        turn = self._turn()
        return turn[0] if turn else None

    def take(self) -> T:
        """Take the first one out: it is sent."""
        turn = self._turn()
        item = turn.popleft()
        work_s = max(LEAST_WORK_S, self._work_s(item))
        if turn is not self._in_time:
            self._sent_late.append(item)
            self._owed_s = max(0.0, self._owed_s - work_s)
        elif self._overdue:
            self._owed_s += LATE_SHARE * work_s
        if not self._overdue:
            self._owed_s = 0.0
        return item

    @property
    def _parts(self) -> tuple[deque[T], ...]:
        return self._in_time, self._put_off, self._late

    @property
    def _overdue(self) -> deque[T]:
        """Those whose turn comes after the others', the oldest first."""
        return self._late or self._put_off

    def _insert(self, part: deque[T], item: T) -> None:
        if not part or self._due_at(part[-1]) <= self._due_at(item):
            part.append(item)
        else:
            insort(part, item, key=self._due_at)

    def _turn(self) -> deque[T]:
        overdue = self._overdue
        if not overdue:
            return self._in_time
        if self._owed_s >= max(LEAST_WORK_S, self._work_s(overdue[0])):
            return overdue
        if self._in_time:
            return self._in_time
        allowed = max(1.0, LATE_ENGINES * self._engines)
        return overdue if len(self._sent_late) + 1 <= allowed else deque()

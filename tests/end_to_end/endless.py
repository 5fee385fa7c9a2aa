"""Work that does not run out until the test has seen what it waits for.

A wait for something that passes by itself, as "a request runs", may miss it: the test may be held
up for longer than a request takes. Work that is asked anew and anew holds it open.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from tests.end_to_end.pool import until

_T = TypeVar("_T")


class Endless(Generic[_T]):
    """Requests that are sent again as soon as they are answered; `answers` are those of each."""

    def __init__(self, *asks: Callable[[], _T]) -> None:
        self.answers: list[list[_T]] = [[] for _ in asks]
        self._enough = threading.Event()
        self._threads = ThreadPoolExecutor(len(asks))
        self._futures: list[Future[None]] = [
            self._threads.submit(self._again, ask, answers)
            for ask, answers in zip(asks, self.answers, strict=True)
        ]

    def goes_on(self) -> bool:
        """True; raises what a request failed with, if one has."""
        for future in self._futures:
            if future.done():
                future.result()
        return True

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """The first truthy value of `condition`. Fails at once when a request fails."""
        return until(lambda: self.goes_on() and condition(), what)

    def end(self) -> None:
        """Ask no more, and wait until every request is answered."""
        self._enough.set()
        self._threads.shutdown()

    def _again(self, ask: Callable[[], _T], answers: list[_T]) -> None:
        while not self._enough.is_set():
            answers.append(ask())


@contextmanager
def endless(*asks: Callable[[], _T]) -> Iterator[Endless[_T]]:
    """Each of `asks` in a thread of its own, while this is open; then all of them are answered."""
    work = Endless(*asks)
    try:
        yield work
    finally:
        work.end()
    work.goes_on()


def at_once(*asks: Callable[[], _T]) -> list[_T]:
    """What each of `asks` answers; they are asked beside each other."""
    with ThreadPoolExecutor(len(asks)) as threads:
        return [future.result() for future in [threads.submit(ask) for ask in asks]]

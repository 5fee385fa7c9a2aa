"""Waiting for an answer, but not for ever. Quack has no time limit of its own."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from analytics.errors import StoreUnreachable

T = TypeVar("T")


def answered_within(timeout_s: float, call: Callable[[], T], *, where: str) -> T:
    """What `call` returns or raises. Raises StoreUnreachable when that takes too long.

    The call then goes on in its own thread, which ends with the process: what it uses is lost.
    """
    answer: Future[T] = Future()
    threading.Thread(target=_answer, args=(answer, call), name="store-call", daemon=True).start()
    try:
        return answer.result(timeout_s)
    except TimeoutError:
        if answer.done():
            raise
        raise StoreUnreachable(
            f"no answer within {timeout_s:g} s",
            where=where,
            fix="Check that its process is neither stopped nor overloaded.",
        ) from None


def _answer(answer: Future[T], call: Callable[[], T]) -> None:
    try:
        answer.set_result(call())
    except BaseException as error:
        answer.set_exception(error)

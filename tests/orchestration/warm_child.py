"""A program: fork one process as the code server forks runs, and print what it had to import.

In a process of its own, because a process has one warm process and it is set up once.
"""

import multiprocessing
import sys
from multiprocessing.queues import Queue

from orchestration.code_server.__main__ import PRELOAD


def missing(answers: "Queue[list[str]]") -> None:
    """In the forked process: what a run uses and is not there yet."""
    there = set(sys.modules)
    preload = __import__(PRELOAD, fromlist=["PUT_OFF"])
    answers.put([name for name in (PRELOAD, *preload.PUT_OFF) if name not in there])


if __name__ == "__main__":
    multiprocessing.set_forkserver_preload([PRELOAD])
    context = multiprocessing.get_context("forkserver")
    answers: "Queue[list[str]]" = context.Queue()
    child = context.Process(target=missing, args=(answers,))
    child.start()
    print(answers.get(timeout=120))
    child.join()

"""No orphans: ties a process's life to that of another, by Linux' parent death signal and by pipe.

The kernel kills each forked process when the warm process ends, and that one when the light main
does. A process asked for by another one (an engine by its host) also watches that one's end.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import wait

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when its parent dies; at once if it is gone already."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def tie_forks() -> None:
    """Have every process forked from this one, and from its forks, die with its parent."""
    forking = [os.getpid()]

    def before() -> None:
        forking[0] = os.getpid()

    os.register_at_fork(before=before, after_in_child=lambda: die_with_parent(forking[0]))


def die_with_requester() -> None:
    """Kill this process when the one that asked for it (not the one it was forked from) ends."""
    requester = multiprocessing.parent_process()
    assert requester is not None

    def watch() -> None:
        wait([requester.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="requester watch", daemon=True).start()

"""supervisord, bound to the life of the process that started it.

`python -m turntable.supervision.bound_supervisord PARENT_PID CONFIGURATION`. If that parent dies
in whatever way, the kernel asks supervisord to stop, which stops every program.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, configuration: str) -> None:
    """Run supervisord in this process."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the kernel was told
        return
    from supervisor import supervisord

    supervisord.main(["-c", configuration])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])

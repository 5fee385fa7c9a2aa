"""`python -m orchestration.daemon`: `dagster-daemon` with sensors evaluated when they are due.

Dagster looks for due sensors at marks of five seconds, and has no setting for that. Ours wait for a
change inside a tick, each in a thread of its own; what came between the end of a tick and the next
mark would not be seen for seconds. Everything else of the daemon is Dagster's.
"""

import dagster._daemon.sensor
from dagster._daemon.cli import main

LOOK_EVERY_S = 0.25

if __name__ == "__main__":
    interval = "MIN_INTERVAL_LOOP_TIME"
    setattr(dagster._daemon.sensor, interval, LOOK_EVERY_S)  # noqa: SLF001
    main()

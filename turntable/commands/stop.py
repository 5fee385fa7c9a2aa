"""`turntable stop`: end an instance from another terminal."""

import typer

from turntable.settings import console, settings

_TIMEOUT_S = 60.0


def stop(context: typer.Context) -> None:
    """Stop every process of the running instance, and wait until they have ended."""
    from turntable.supervision import instance as record
    from turntable.supervision.leftovers import end_members

    state = settings(context).state
    try:
        stopped = record.stop(record.running_instance(state), timeout_s=_TIMEOUT_S)
    except record.NotRunning:
        if not end_members(state):
            raise
        stopped = True
    if not stopped:
        end_members(state)
    console().print("stopped" if stopped else "stopped, by force")

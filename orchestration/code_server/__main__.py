"""`python -m orchestration.code_server`: what `dagster api grpc` is, with a warm process for runs.

Dagster starts the process of every run anew, which then imports Dagster and the definitions for two
to three seconds while requests wait for the run's hotswaps. Its launcher has no setting for that,
so the server's process context is replaced. Everything else of the server is Dagster's.
"""

import multiprocessing
import sys
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from typing import Any

import dagster._grpc.server
from dagster._cli.api import grpc_command

PRELOAD = "orchestration.code_server.preload"


class WarmCodeServer(dagster._grpc.server.DagsterApiServer):  # noqa: SLF001
    """Dagster's server of definitions, which forks the processes of runs."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._mp_ctx = ForkServerContext()  # type: ignore[assignment]  # as good as the other


def main() -> None:
    """Serve until told to stop; the arguments are those of `dagster api grpc`."""
    multiprocessing.set_forkserver_preload([PRELOAD])
    forkserver.ensure_running()  # now, so that the first run finds it warm
    dagster._grpc.server.DagsterApiServer = WarmCodeServer  # type: ignore[misc]  # noqa: SLF001
    grpc_command(sys.argv[1:])


if __name__ == "__main__":
    main()

"""`python -m orchestration.code_server`: what `dagster api grpc` is, with a server of our own."""

import multiprocessing
import sys
from multiprocessing import forkserver

import dagster._grpc.server
from dagster._cli.api import grpc_command

from orchestration.code_server.server import CodeServer

PRELOAD = "orchestration.code_server.preload"


def main() -> None:
    """Serve until told to stop; the arguments are those of `dagster api grpc`."""
    multiprocessing.set_forkserver_preload([PRELOAD])
    forkserver.ensure_running()  # now, so that the first run finds it warm
    dagster._grpc.server.DagsterApiServer = CodeServer  # type: ignore[misc]  # noqa: SLF001
    grpc_command(sys.argv[1:])


if __name__ == "__main__":
    main()

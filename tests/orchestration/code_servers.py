"""A code server in the process of a test, for its clients."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from dagster._core.definitions.definitions_load_context import (
    DefinitionsLoadContext,
    DefinitionsLoadType,
)
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.utils import FuturesAwareThreadPoolExecutor
from dagster._grpc.server import DagsterGrpcServer

from orchestration.code_server import server


@contextmanager
def code_server() -> Iterator[GrpcServerCodeLocationOrigin]:
    """One of the definitions that the environment names; where it is."""
    ending, workers = threading.Event(), FuturesAwareThreadPoolExecutor(max_workers=4)
    logger = logging.getLogger("dagster.code_server")
    target = LoadableTargetOrigin(module_name="orchestration.definitions")
    clean = DefinitionsLoadContext(DefinitionsLoadType.INITIALIZATION)
    with TemporaryDirectory() as folder, DefinitionsLoadContext.scoped(clean):
        socket = f"{folder}/server"  # a socket's path must be short
        running = DagsterGrpcServer(
            server_termination_event=ending,
            dagster_api_servicer=server.CodeServer(
                ending, logger, workers, loadable_target_origin=target, location_name="turntable"
            ),
            logger=logger,
            threadpool_executor=workers,
            socket=socket,
        )
        serving = threading.Thread(target=running.serve)
        serving.start()
        try:
            yield GrpcServerCodeLocationOrigin("localhost", socket=socket)
        finally:
            ending.set()
            serving.join()

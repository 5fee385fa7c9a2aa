"""The HTTP server of an engine host: uvicorn, ended in the order that hands generations back."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from serving.engine.assembly import EngineHost

KEEP_ALIVE_S = 75
"""Longer than clients keep an idle connection: else one may send a command while its connection is
being closed."""
_DRAIN_S = 5


class HostServer(uvicorn.Server):
    """Serves one engine host."""

    def __init__(self, host: EngineHost, *, address: str, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                host.app,
                host=address,
                port=port,
                log_config=None,
                access_log=False,
                lifespan="on",
                timeout_graceful_shutdown=_DRAIN_S,
                timeout_keep_alive=KEEP_ALIVE_S,
            )
        )
        self._host = host

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Hand back every generation and answer every long poll, then close the connections."""
        self._host.begin_stop()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT.

        uvicorn's own would raise them again when it has stopped, and end the process before it
        has sent its last events.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield

"""The HTTP server of the gateway process, and how it ends."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

SHUTDOWN_WITHIN_S = 5
"""How long answers under way may take to end once the process is told to stop."""
KEEP_ALIVE_S = 75
"""Longer than clients keep an idle connection (OpenAI's and Anthropic's: 5 s, proxies: 60 s). Else
one may send a request while its connection is being closed, and is not answered."""


class GatewayServer(uvicorn.Server):
    """Serves one gateway."""

    def __init__(self, app: ASGIApp, *, address: str, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=address,
                port=port,
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=SHUTDOWN_WITHIN_S,
                timeout_keep_alive=KEEP_ALIVE_S,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT.

        uvicorn's own would raise them again when it has stopped, and end the process before the
        last events are sent.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield

"""The gateway's HTTP server."""

import httpx
from starlette.applications import Starlette

from serving.gateway.server import GatewayServer


def test_an_idle_connection_is_closed_by_the_client_and_not_under_its_next_request() -> None:
    server = GatewayServer(Starlette(), address="127.0.0.1", port=1)
    of_clients = httpx.Limits().keepalive_expiry  # of OpenAI's and Anthropic's too

    assert of_clients is not None
    assert server.config.timeout_keep_alive > 2 * of_clients

"""Ports for servers that tests start."""

import contextlib
import random
import socket


def free_ports(count: int) -> list[int]:
    """So many ports that nobody listens on, below those of outgoing connections.

    While a server is away its clients keep connecting to its port: from the system's own range, a
    connection could come to be its own peer, and hold the port against the server's next start.
    """
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        for port in random.sample(range(20_000, 32_000), 1000):
            probe = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                ports.append(port)
            if len(ports) == count:
                return ports
    raise RuntimeError(f"{count} ports are not free between 20000 and 32000")

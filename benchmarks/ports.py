"""Ports on loopback for servers that a benchmark or a test starts."""

import contextlib
import functools
import itertools
import random
import socket
from collections.abc import Iterator

from benchmarks.setting import BenchmarkUnable

PORTS = range(20_000, 32_000)
"""Below those that the system gives to outgoing connections: while a server is away its clients
keep connecting to its port, and a connection could come to be its own peer and hold it."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different.

    This process is not given a port again before all others were its turn, so a server may take
    its time to listen on it.
    """
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        for port in itertools.islice(_in_turn(), len(PORTS)):
            probe = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                ports.append(port)
            if len(ports) == count:
                return ports
    raise BenchmarkUnable(
        f"{count} ports are not free",
        where=f"127.0.0.1, {PORTS.start} to {PORTS.stop}",
        fix="Stop servers that are not needed.",
    )


@functools.cache
def _in_turn() -> Iterator[int]:
    """Every port again and again, in an order of this process's own."""
    return itertools.cycle(random.sample(PORTS, len(PORTS)))

"""Ports for servers: free, and not given twice."""

import socket

from benchmarks.ports import PORTS, free_ports


def test_free_ports_differ_also_from_those_given_before() -> None:
    given = [port for _ in range(50) for port in free_ports(20)]
    assert len(set(given)) == 1000


def test_a_port_on_which_somebody_listens_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", free_ports(1)[0])) as server:
        assert server.getsockname()[1] not in free_ports(len(PORTS) // 2)

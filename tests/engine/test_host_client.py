"""What the client of a host's control interface makes of hosts that do not answer."""

import pytest

from serving.clients.host import HostClient
from serving.errors import HostDown
from tests.ports import free_ports


def test_a_host_that_is_not_there_is_down() -> None:
    with HostClient("127.0.0.1", free_ports(1)[0], "token") as client:
        assert not client.ready()
        with pytest.raises(HostDown):
            client.state()

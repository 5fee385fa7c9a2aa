"""Asking the engine host of a test, each time with a client of its own."""

from typing import Any

from serving.wire import (
    HostState,
    SwapCommand,
    SwapReport,
)
from tests.fakes.generate import Reader, generate_request
from tests.fakes.host import FakeHost


def state(host: FakeHost) -> HostState:
    with host.client() as client:
        return client.state()


def swap(host: FakeHost, model: str, plan_id: int, **fields: Any) -> SwapReport:
    with host.client() as client:
        return client.swap(SwapCommand(model=model, plan_id=plan_id, reason="test", **fields))


def read(host: FakeHost, request_id: str, model: str = "a", **fields: Any) -> Reader:
    return Reader(host.url, host.token, generate_request(request_id, model, **fields))

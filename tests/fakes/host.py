"""Runs the real engine host application over fake engines, on a free loopback port, in a thread.

with running_host(fleet, state, "host-0") as host:
    host.client().state(); host.engines.gate.close(); host.kill(); host.restart()
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from serving.clients.host import HostClient
from serving.config import Fleet, StateFolder
from serving.engine.assembly import EngineHost, HostOptions, assemble
from serving.engine.decisions.silence import TICK_S
from serving.engine.protocol import Weights
from serving.engine.records import EventSink
from serving.engine.server import HostServer
from tests.fakes.engine import FakeEngines
from tests.ports import free_ports

LIMIT_S = 120.0


class ListSink:
    """Keeps the events that a host or gateway records."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def append(self, event: Any) -> None:
        self.events.append(event)


class FakeHost:
    """One real engine host over fake engines. `kill` ends it as kill -9 would."""

    def __init__(
        self,
        fleet: Fleet,
        state: StateFolder,
        name: str,
        *,
        engines: FakeEngines | None = None,
        options: HostOptions | None = None,
        sink: EventSink | None = None,
        weights: Weights | None = None,
    ) -> None:
        self.fleet, self.state_folder, self.name = fleet, state, name
        self.engines = engines or FakeEngines()
        self.options = options or HostOptions(prewarm_after_s=None, drain_s=0.2)
        self.sink = sink or ListSink()
        self.crashed = threading.Event()
        """Its owner died: a process would end now."""
        self._weights = weights
        settings = fleet.host(name)
        self.address, self.port = settings.address, settings.port
        self.token = state.token("admin")
        self.url = f"http://{self.address}:{self.port}"
        self.host: EngineHost | None = None
        self._server: HostServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self, *, until: Callable[["FakeHost"], bool] | None = None) -> "FakeHost":
        """Start it and wait until it listens, and (by default) serves its first model."""
        self._thread = threading.Thread(target=self._run, name=f"fake {self.name}", daemon=True)
        self._thread.start()
        wait_until(lambda: self._server is not None and self._server.started)
        first_model = self.host is not None and self.host.first_model
        if until is None and first_model:
            until = FakeHost.serves
        if until is not None:
            condition = until
            wait_until(lambda: condition(self))
        return self

    def serves(self) -> bool:
        """Whether it is ready."""
        with self.client() as client:
            return client.ready()

    def stop(self) -> None:
        """Stop it in order: generations are handed back with reason shutdown."""
        if self._server is not None:
            self._server.should_exit = True
            self._join()

    def kill(self) -> None:
        """End it at once: connections are reset in the middle of whatever they carry."""
        if self._server is None or self._loop is None:
            return
        asyncio.run_coroutine_threadsafe(self._die(), self._loop)
        self._join()

    def restart(self, *, until: Callable[["FakeHost"], bool] | None = None) -> "FakeHost":
        """Start it again on the same port, with new engines; kill it first if it runs."""
        self.kill()
        self.engines.alive.clear()
        return self.start(until=until)

    def let_pass(self, seconds: float) -> None:
        """Have its watch over engines count so many seconds, with time to answer in each."""

        async def ticks() -> None:
            assert self.host is not None
            for _ in range(int(seconds / TICK_S)):
                self.host.vigil.tick()
                for _ in range(3):  # a pulse's task runs, and says that it has ended
                    await asyncio.sleep(0)

        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(ticks(), self._loop).result(LIMIT_S)

    def client(self) -> HostClient:
        """A client of this host."""
        return HostClient(self.address, self.port, self.token)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            try:
                runner.run(self._serve())
            except asyncio.CancelledError:
                return  # killed

    async def _serve(self) -> None:
        self.host = assemble(
            self.fleet,
            self.state_folder,
            self.name,
            self.engines,
            self.sink,
            options=self.options,
            weights=self._weights,
            on_crash=self.crashed.set,
        )
        self._server = _ThreadServer(self.host, address=self.address, port=self.port)
        await self._server.serve()

    async def _die(self) -> None:
        assert self._server is not None
        for listener in self._server.servers:
            listener.close()
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join(LIMIT_S)
            assert not self._thread.is_alive(), f"{self.name} did not end"
        self._server, self._thread, self._loop, self.host = None, None, None, None


class _ThreadServer(HostServer):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the main thread."""
        yield


@contextmanager
def running_host(fleet: Fleet, state: StateFolder, name: str, **options: Any) -> Iterator[FakeHost]:
    """A running fake host, killed at the end."""
    host = FakeHost(fleet, state, name, **options)
    try:
        yield host.start()
    finally:
        host.kill()


@contextmanager
def running_hosts(
    fleet: Fleet, state: StateFolder, **options: Any
) -> Iterator[dict[str, FakeHost]]:
    """Every host of the fleet, each with fake engines of its own."""
    with ExitStack() as stack:
        yield {
            host.name: stack.enter_context(running_host(fleet, state, host.name, **options))
            for host in fleet.hosts
        }


def fake_fleet(
    models: dict[str, dict[str, Any]] | list[str],
    hosts: dict[str, str | None],
    **sections: Any,
) -> Fleet:
    """A fleet on free ports. `models`: settings by name; `hosts`: what each starts with."""
    named = {name: {} for name in models} if isinstance(models, list) else models
    ports = free_ports(len(hosts) + 4)
    return Fleet.model_validate(
        {
            "gateway": {"port": ports[-1]},
            "store": {"port": ports[-2]},
            "dagster": {"port": ports[-3], "code_port": ports[-4]},
            "hosts": [
                {"name": name, "port": port, "starts_with": first}
                for (name, first), port in zip(hosts.items(), ports, strict=False)
            ],
            "models": [
                {"name": name, "source": {"kind": "packaged"}, "slots": 4, "interactive_cap": 2}
                | settings
                for name, settings in named.items()
            ],
            **sections,
        }
    )


def wait_until(condition: Callable[[], bool], *, limit_s: float = LIMIT_S) -> None:
    """Return when `condition()` holds; fail after a generous limit."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)

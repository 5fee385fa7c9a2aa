"""A gateway with vLLM's real API apps over real engine hosts with fake engines."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from transformers import AutoTokenizer

from serving.config import Fleet, StateFolder
from serving.gateway.assembly import running_gateway
from serving.gateway.server import GatewayServer
from serving.weights import checkpoint_path
from serving.wire import GenerateRequest, SwapCommand
from tests.fakes.host import FakeHost, ListSink, fake_fleet, wait_until
from tests.ports import free_ports

EXACT = "exact"
"""Awake on both hosts."""
ABSENT = "absent"
"""Registered, awake nowhere."""

KEYS = {"key of ada": ("ada", 2.0), "other key of ada": ("ada", 2.0), "key of bob": ("bob", 1.0)}
"""Accounts and weights of `keyed_gateway`."""


class _Server(GatewayServer):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the main thread."""
        yield


class GatewayThread:
    """A gateway in a thread of its own."""

    def __init__(self, fleet: Fleet, state: StateFolder) -> None:
        self.fleet, self.state, self.events = fleet, state, ListSink()
        self.url = f"http://127.0.0.1:{fleet.gateway.port}"
        self.http = httpx.Client(base_url=self.url, timeout=120)
        self.server: GatewayServer | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def start(self) -> None:
        self._thread.start()
        wait_until(lambda: self.ready() or not self._thread.is_alive(), limit_s=120)
        assert self._thread.is_alive(), "the gateway did not start"

    def ready(self) -> bool:
        try:
            return self.http.get("/ready").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        if self.server is not None:
            self.server.should_exit = True
        self._thread.join(120)
        assert not self._thread.is_alive(), "the gateway did not stop"

    async def _serve(self) -> None:
        from serving.gateway.adaptor.apps import model_app

        async def build(model: Any, runner: Any) -> Any:
            return await model_app(model, checkpoint_path(model, self.state), runner)

        async with running_gateway(
            self.fleet,
            state=self.state,
            events=self.events,
            build=build,
        ) as gateway:
            settings = self.fleet.gateway
            self.server = _Server(gateway.app, address=settings.address, port=settings.port)
            await self.server.serve()


@dataclass
class Stage:
    """A gateway, its hosts, its clients."""

    gateway: GatewayThread
    hosts: dict[str, FakeHost]
    tokenizer: Any

    @property
    def url(self) -> str:
        return self.gateway.url

    @property
    def http(self) -> httpx.Client:
        return self.gateway.http

    def openai(self, **options: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, **options)

    def anthropic(self) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=self.url, api_key="none", max_retries=0)

    def fleet(self) -> Any:
        return self.http.get("/fleet").json()

    def replicas(self, model: str) -> list[str]:
        return next(m["replicas"] for m in self.fleet()["models"] if m["name"] == model)

    def counts(self, place: str, model: str = EXACT) -> dict[str, int]:
        return next(m[place] for m in self.fleet()["models"] if m["name"] == model)

    def say(self, text: str, *, end: bool = True) -> list[int]:
        """Every engine answers `text` from now on; the tokens of it."""
        tokens = self.tokenizer.encode(text, add_special_tokens=False)
        script = [*tokens, self.tokenizer.eos_token_id] if end else tokens
        self.answer(lambda _request: script)
        return tokens

    def answer(self, function: Callable[[GenerateRequest], list[int]] | None) -> None:
        for host in self.hosts.values():
            host.engines.answer = function

    def gates(self, action: str, *args: int) -> None:
        for host in self.hosts.values():
            getattr(host.engines.gate, action)(*args)

    def running_on(self, host: str) -> int:
        return sum(len(e.running) for e in list(self.hosts[host].engines.alive.values()))

    def serving_host(self) -> str:
        """The host that runs a generation now; waits until there is one."""
        wait_until(lambda: any(self.running_on(name) for name in self.hosts))
        return next(name for name in self.hosts if self.running_on(name))

    def ended(self, count: int) -> list[Any]:
        """The RequestEnded events, once there are `count`."""
        wait_until(lambda: len(self.events("requests")) >= count)
        return self.events("requests")

    def events(self, table: str) -> list[Any]:
        return [e for e in self.gateway.events.events if e.table == table]

    def settled(self) -> bool:
        """Whether every request that arrived has ended, for the record too."""
        ended = {event.request_id for event in self.events("requests")}
        return all(event.request_id in ended for event in self.events("request_arrivals"))

    def swap(self, host: str, model: str) -> None:
        with self.hosts[host].client() as client:
            plan_id = client.state().plan_id + 1
            client.swap(SwapCommand(model=model, plan_id=plan_id, reason="test"))


def make_fleet() -> Fleet:
    exact = {
        "dtype": "float32",
        "slots": 4,
        "interactive_cap": 2,
        "tool_call_parser": "hermes",
        # No engine is that fast: the cap never grows, and batch makes room.
        "service_levels": {"tpot_s": 1e-6},
    }
    return fake_fleet(
        {EXACT: exact, ABSENT: exact},
        {"host-0": EXACT, "host-1": EXACT},
        # Nobody is refused because a host was slow; who wants to be refused asks `hasty`.
        gateway={"port": free_ports(1)[0], "replica_wait_s": 120, "resume_wait_s": 120},
    )


@pytest.fixture(scope="session")
def _running(
    prepared_state: StateFolder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    fleet = make_fleet()
    state = StateFolder(_state_root(prepared_state, tmp_path_factory.mktemp("gateway")))
    gateway = GatewayThread(fleet, state)
    checkpoint = checkpoint_path(fleet.model(EXACT), state)
    with ExitStack() as stack:
        hosts = {host.name: FakeHost(fleet, state, host.name) for host in fleet.hosts}
        for host in hosts.values():
            stack.callback(host.kill)
            host.start()
        stack.callback(gateway.stop)
        gateway.start()
        yield Stage(gateway, hosts, AutoTokenizer.from_pretrained(str(checkpoint)))


@contextmanager
def _another_gateway(stage: Stage, **changes: Any) -> Iterator[GatewayThread]:
    """A gateway over the hosts of `stage`; `changes` are of its section of the fleet, and keys."""
    fleet = stage.gateway.fleet.model_dump()
    keys = changes.pop("keys", [])
    fleet["gateway"] |= {"port": free_ports(1)[0], **changes}
    gateway = GatewayThread(Fleet.model_validate(fleet | {"keys": keys}), stage.gateway.state)
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.stop()


@pytest.fixture(scope="session")
def keyed_gateway(_running: Stage) -> Iterator[GatewayThread]:
    """Another gateway over the same hosts, that asks for API keys: see KEYS."""
    keys = [
        {"name": name, "weight": weight, "sha256": sha256(key.encode()).hexdigest()}
        for key, (name, weight) in KEYS.items()
    ]
    with _another_gateway(_running, keys=keys) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def _hasty_gateway(_running: Stage) -> Iterator[GatewayThread]:
    with _another_gateway(_running, replica_wait_s=0.1, slot_wait_s=0.1) as gateway:
        yield gateway


@pytest.fixture
def hasty(stage: Stage, _hasty_gateway: GatewayThread) -> Stage:
    """As `stage`, through a gateway where nobody waits long for a replica, or for a slot."""
    _hasty_gateway.events.events.clear()
    found = Stage(_hasty_gateway, stage.hosts, stage.tokenizer)
    wait_until(lambda: len(found.replicas(EXACT)) == 2)
    return found


@pytest.fixture
def stage(_running: Stage) -> Iterator[Stage]:
    """Two hosts that serve EXACT, a gateway, no events yet."""
    wait_until(lambda: len(_running.replicas(EXACT)) == 2)
    _running.gateway.events.events.clear()
    yield _running
    _running.answer(None)
    _running.gates("open")
    wait_until(_running.settled)
    for host in _running.hosts.values():
        host.engines.delay_s = 0.001
        if host.host is None:
            host.restart()
        with host.client() as client:
            if client.state().awake_model != EXACT:
                _running.swap(host.name, EXACT)


def _state_root(prepared: StateFolder, root: Path) -> Path:
    (root / "weights").symlink_to(prepared.weights)
    return root

"""The running part: hosts, gateway and store, and the stock server; no control plane.

The benchmark commands the hosts itself, as an allocation run would. All servers are there for the
whole run; those that are not measured have nothing to do.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count

import httpx
from prometheus_client.parser import text_string_to_metric_families

from analytics.traffic import TrafficReader
from benchmarks.coserve.ceiling import ProfilePoint
from benchmarks.coserve.fleet import CoserveFleets
from benchmarks.coserve.workload import SIZES
from benchmarks.servers import Server, until
from benchmarks.setting import BenchmarkUnable
from benchmarks.start import START_LIMIT_S, first_answer
from benchmarks.stock import StockServer
from benchmarks.streams import Endpoint
from benchmarks.workspace import Workspace, write_fleet
from serving.clients.host import HostClient
from serving.config import OPERATOR_ACCOUNT, HostSettings, StateFolder
from serving.errors import HostUnreachable
from serving.wire import BatchSizePoint, BatchSizeProfile, SwapCommand, TpotLevel

_IDLE_LIMIT_S = 60.0
_BUSY = ("vllm:num_requests_running", "vllm:num_requests_waiting")


class Host:
    """One engine host in a process of its own."""

    def __init__(self, settings: HostSettings, state: StateFolder, server: Server) -> None:
        self.name = settings.name
        self._server = server
        self._client = HostClient(settings.address, settings.port, state.token("admin"))
        self._plans = count(1)

    def swap(self, model: str) -> None:
        """Make `model` awake. Raises BenchmarkUnable if it is not afterwards."""
        report = self._client.swap(
            SwapCommand(model=model, plan_id=next(self._plans), reason="benchmark")
        )
        if report.outcome not in ("committed", "unchanged"):
            raise BenchmarkUnable(
                f"a swap to {model} ended as {report.outcome}: {report.error}",
                where=self.name,
                fix="Look at the host's log.",
            )

    def wait_up(self) -> None:
        """Wait until it answers, whether or not it has a model."""

        def up() -> bool | None:
            try:
                return bool(self._client.state().host)
            except HostUnreachable:
                return None

        self._until(up, "answers")

    def wait_ready(self) -> None:
        """Wait until it serves."""
        self._until(lambda: self._client.ready() or None, "serves")

    def give_profile(self, model: str, points: Sequence[ProfilePoint]) -> None:
        """What a measured profile is for: the interactive cap of `model` begins from it."""
        self._client.give_profile(
            BatchSizeProfile(
                model=model,
                hardware="this machine",
                measured_at=time.time(),
                points=[
                    BatchSizePoint(
                        batch_size=point.batch_size,
                        tpot_s=point.tpot_s,
                        ttft_s=point.ttft_s,
                        tokens_per_s=point.batch_size / point.tpot_s,
                    )
                    for point in points
                ],
            )
        )

    def keep_to_level(self, model: str, tpot_s: float) -> None:
        """State another service level for TPOT than the fleet file does."""
        self._client.keep_to_level(model, TpotLevel(tpot_s=tpot_s))

    def bring_asleep(self, models: list[str]) -> None:
        """Have these loaded now: the host would by itself, but in the midst of a measurement."""
        for model in models:
            self._client.change_tier(model, "asleep")

    def wait_idle(self) -> None:
        """Wait until it has no generation."""

        def idle() -> bool | None:
            state = self._client.state()
            counts = (state.running, state.waiting)
            return (not state.held and not any(c.interactive + c.batch for c in counts)) or None

        self._until(idle, "is idle")

    def _until(self, condition: Callable[[], bool | None], what: str) -> None:
        until(condition, f"{self.name} {what}", limit_s=START_LIMIT_S, server=self._server)


@dataclass
class Instance:
    """What runs during the measurements."""

    fleets: CoserveFleets
    workspace: Workspace
    state: StateFolder
    gateway: Server
    stock: Endpoint
    stock_server: Server
    reader: TrafficReader
    hosts: list[Host] = field(default_factory=list)

    @property
    def gateway_url(self) -> str:
        """Where clients ask."""
        gateway = self.fleets.first.gateway
        return f"http://{gateway.address}:{gateway.port}"

    @property
    def _key(self) -> str:
        """What the gateway takes for an API key, whatever keys the fleet names."""
        return self.state.token(OPERATOR_ACCOUNT)

    def ours(self, model: str) -> Endpoint:
        """The gateway, for a model."""
        return Endpoint(self.gateway_url, model, {"service_tier": "flex"}, self._key)

    def wait_for_replicas(self, model: str, number: int) -> None:
        """Wait until the gateway sees `model` awake on so many hosts."""

        def seen() -> bool | None:
            answer = httpx.get(f"{self.gateway_url}/fleet", timeout=10, trust_env=False).json()
            awake = [host["awake_model"] for host in answer["hosts"] if host["reachable"]]
            return awake.count(model) == number or None

        until(seen, f"{model} on {number} hosts", limit_s=_IDLE_LIMIT_S, server=self.gateway)

    def awake(self, model: str) -> Endpoint:
        """Make `model` awake on the first host; where to ask for it."""
        self.hosts[0].swap(model)
        self.wait_for_replicas(model, 1)
        return self.ours(model)

    def wait_stock(self) -> None:
        """Wait until the stock server answers."""
        first_answer(self.stock_server, self.stock.url, self.stock.model)

    def wait_idle(self) -> None:
        """Wait until no server has anything to do: what one arm left is no part of the next."""
        for host in self.hosts:
            host.wait_idle()
        until(self._stock_is_idle, "stock is idle", limit_s=_IDLE_LIMIT_S, server=self.stock_server)

    def _stock_is_idle(self) -> bool | None:
        text = httpx.get(f"{self.stock.url}/metrics", timeout=10, trust_env=False).text
        busy = [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name in _BUSY
        ]
        return True if busy and not any(busy) else None

    @contextmanager
    def running_hosts(self) -> Iterator[None]:
        """The first host serving, the second one up without a model; then stopped."""
        fleets = self.fleets
        with ExitStack() as stack:
            hosts = []
            for place, fleet in enumerate((fleets.first, fleets.second)):
                settings = fleet.hosts[place]
                name = settings.name
                file = self.workspace.root / f"{name}.yaml"
                write_fleet(fleet, file)
                command = ["serving.engine", "--fleet", str(file), "--state", str(self.state.root)]
                server = stack.enter_context(
                    _started(self.workspace, name, [*command, "--host", name])
                )
                hosts.append(Host(settings, self.state, server))
            self.hosts = hosts
            for host in hosts:
                host.wait_up()
            hosts[0].wait_ready()
            hosts[0].bring_asleep([model.name for model in fleets.first.models[1:]])
            model = fleets.first.models[0].name
            self.wait_for_replicas(model, 1)
            first_answer(self.gateway, self.gateway_url, model, key=self._key)
            try:
                yield
            finally:
                self.hosts = []


@contextmanager
def running_instance(workspace: Workspace, fleets: CoserveFleets) -> Iterator[Instance]:
    """Store, gateway and stock server started; hosts come with `running_hosts`."""
    state = workspace.state("coserve")
    model = fleets.sized(SIZES[0])
    stock = StockServer(
        workspace, model, fleets.first.hosts[0], ("--scheduling-policy", "priority")
    )
    file = workspace.root / "gateway.yaml"
    write_fleet(fleets.first, file)
    store = fleets.first.store
    token = state.token("store")
    secret = state.token_file("store")
    store_command = ["analytics.store", "--database", str(state.database)]
    store_command += ["--address", store.address, "--port", str(store.port)]
    store_command += ["--token-file", str(secret)]
    front_command = ["serving.gateway", "--fleet", str(file), "--state", str(state.root)]
    with ExitStack() as stack:
        stack.enter_context(_started(workspace, "store", store_command))
        gateway = stack.enter_context(_started(workspace, "gateway", front_command))
        stock_server = stack.enter_context(stock.started("stock"))
        reader = stack.enter_context(TrafficReader(store.address, store.port, token))
        reader.wait_ready(START_LIMIT_S)
        endpoint = Endpoint(stock.url, model.name, {"priority": 1})
        yield Instance(fleets, workspace, state, gateway, endpoint, stock_server, reader)


def _started(workspace: Workspace, name: str, module: list[str]) -> Server:
    log = workspace.root / f"{name}.log"
    return Server([sys.executable, "-m", *module], log, workspace.environment())

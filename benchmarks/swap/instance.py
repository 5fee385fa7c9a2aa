"""The running part: two engine hosts and a gateway, without a control plane.

Plans are the benchmark's own: it commands the hosts by `PUT /awake`, as an allocation run would.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx
import psutil

from benchmarks.servers import Server, until
from benchmarks.setting import BenchmarkUnable
from benchmarks.start import START_LIMIT_S
from benchmarks.swap.fleet import SwapFleets
from benchmarks.swap.generation import Generated, generate
from benchmarks.swap.samples import Swap
from benchmarks.workspace import Workspace, write_fleet
from serving.clients.host import HostClient
from serving.config import OPERATOR_ACCOUNT, HostSettings, StateFolder
from serving.engine.memory import proportional_bytes
from serving.wire import SwapCommand, SwapPolicy, SwapReport, Tier


class Host:
    """One engine host in a process of its own."""

    def __init__(self, settings: HostSettings, token: str, server: Server) -> None:
        self.server = server
        self._url = f"http://{settings.address}:{settings.port}"
        self._token = token
        self._on_cuda = settings.accelerator == "cuda"
        self._client = HostClient(settings.address, settings.port, token)
        self._plans = count(1)

    def wait_ready(self) -> None:
        """Wait until it serves."""
        until(
            lambda: self._client.ready() or None,
            f"{self._url} serves",
            limit_s=START_LIMIT_S,
            server=self.server,
        )

    def command(self, model: str, policy: SwapPolicy = "hand_back") -> SwapReport:
        """Make `model` awake by the next plan; the report, whatever the outcome."""
        number = next(self._plans)
        return self._client.swap(
            SwapCommand(model=model, plan_id=number, reason="benchmark", policy=policy)
        )

    def swap(self, model: str) -> Swap:
        """Swap and generate one token. Raises BenchmarkUnable if the swap does not commit."""
        began = time.monotonic()
        report = self.command(model)
        if report.outcome != "committed":
            raise BenchmarkUnable(
                f"a swap to {model} ended as {report.outcome}: {report.error}",
                where=self._url,
                fix="Look at the host's log.",
            )
        return Swap(report, self.generate(model, 1).first_token_at - began)

    def generate(self, model: str, max_tokens: int) -> Generated:
        """Generate on the awake model."""
        return generate(self._url, self._token, model, max_tokens)

    def wait_for_tier(self, model: str, tier: Tier, limit_s: float) -> None:
        """Wait until the host has brought `model` to `tier`; on CUDA, ask for it."""
        if self._on_cuda and (tier == "parked" or tier == "disk"):
            self._client.change_tier(model, tier)
        until(
            lambda: self._client.state().tiers[model] == tier or None,
            f"{model} is {tier}",
            limit_s=limit_s,
            server=self.server,
        )

    def memory_bytes(self) -> int:
        """Proportional set size of the host's processes and all their engines."""
        return sum(proportional_bytes(process.pid) for process in self._processes())

    def engines(self) -> set[int]:
        """Process ids of its engines."""
        return {p.pid for p in self._processes() if "EngineCore" in " ".join(p.cmdline())}

    def _processes(self) -> list[psutil.Process]:
        main = psutil.Process(self.server.process_id)
        return [main, *main.children(recursive=True)]


@dataclass(frozen=True)
class Instance:
    """What runs during the measurements."""

    fleets: SwapFleets
    roomy: Host
    tight: Host
    gateway: Server
    gateway_url: str
    gateway_key: str
    """What the gateway takes for an API key, whatever keys the fleet names."""
    prepared: StateFolder
    say: Callable[[str], None]

    def wait_for_replicas(self, model: str, hosts: int) -> None:
        """Wait until the gateway sees `model` awake on this many hosts."""

        def seen() -> bool | None:
            answer = httpx.get(f"{self.gateway_url}/fleet", timeout=10, trust_env=False).json()
            awake = [host["awake_model"] for host in answer["hosts"] if host["reachable"]]
            return awake.count(model) == hosts or None

        until(seen, f"{model} on {hosts} hosts", limit_s=60.0, server=self.gateway)


@contextmanager
def running_instance(workspace: Workspace, fleets: SwapFleets) -> Iterator[Instance]:
    """Everything started and ready; stopped by process id when this closes."""
    state = workspace.state("swap")
    files = {"roomy": workspace.root / "roomy.yaml", "tight": workspace.root / "tight.yaml"}
    write_fleet(fleets.roomy, files["roomy"])
    write_fleet(fleets.tight, files["tight"])
    roomy, tight = fleets.roomy.hosts[0], fleets.tight.hosts[1]
    gateway = fleets.roomy.gateway

    def started(module: str, file: Path, *more: str) -> Server:
        command = [sys.executable, "-m", module, "--fleet", str(file), "--state", str(state.root)]
        log = workspace.root / f"{'-'.join((module, *more[1:]))}.log"
        return Server([*command, *more], log, workspace.environment())

    with ExitStack() as stack:
        engine = "serving.engine"
        hosts = [
            stack.enter_context(started(engine, files["roomy"], "--host", roomy.name)),
            stack.enter_context(started(engine, files["tight"], "--host", tight.name)),
        ]
        front = stack.enter_context(started("serving.gateway", files["roomy"]))
        token = state.token("admin")
        instance = Instance(
            fleets,
            Host(roomy, token, hosts[0]),
            Host(tight, token, hosts[1]),
            front,
            f"http://{gateway.address}:{gateway.port}",
            state.token(OPERATOR_ACCOUNT),
            workspace.prepared,
            workspace.say,
        )
        instance.roomy.wait_ready()
        instance.tight.wait_ready()
        instance.wait_for_replicas(fleets.first.name, 1)
        yield instance

"""A real data plane for tests: engine hosts and a gateway as processes, on free ports.

No control plane and no traffic database run here, so nothing but the tests moves a model.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import yaml
from prometheus_client.parser import text_string_to_metric_families

from serving.clients.host import HostClient
from serving.config import Fleet, StateFolder, load_fleet
from serving.wire import ClassCounts, Grant, HostState, SwapCommand, SwapReport
from tests.ports import free_ports

LIMIT_S = 300.0
"""Of one wait; well below the time that a test may take, so that what fails is the wait."""
TEST_LIMIT_S = 900.0
REQUEST_LIMIT_S = 300.0


def until(condition: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> Any:
    """The first truthy value of `condition`, which is asked every tenth of a second.

    For what stays once it is there. What passes by itself is held open by `endless` work.
    """
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"not within {limit_s:.0f} s: {what}")


def write_fleet(folder: Path) -> Path:
    """Two hosts, two models in float32 (its tokens do not depend on the batch) and few slots."""
    ports = free_ports(6)
    model = {"source": {"kind": "packaged"}, "dtype": "float32", "kv_cache_gib": 0.5}
    fleet = {
        "gateway": {"port": ports[0], "replica_wait_s": 120, "resume_wait_s": 240},
        "store": {"port": ports[1]},
        "dagster": {"port": ports[2], "code_port": ports[3]},
        "hosts": [
            {"name": "host-0", "port": ports[4], "cpu_cores": "0", "starts_with": "exact"},
            {"name": "host-1", "port": ports[5], "cpu_cores": "1", "starts_with": "exact"},
        ],
        "models": [
            {
                **model,
                "name": "exact",
                "slots": 4,
                "interactive_cap": 2,
                "max_replicas": 2,
                "tool_call_parser": "hermes",
                # No engine is that fast: the cap stays low, and batch makes room.
                "service_levels": {"tpot_s": 0.001},
            },
            {**model, "name": "other", "max_model_len": 1024, "max_replicas": 2},
            {**model, "name": "asleep-everywhere", "max_model_len": 512},
        ],
    }
    path = folder / "fleet.yaml"
    path.write_text(yaml.safe_dump(fleet))
    return path


class Pool:
    """The processes, and the ways tests talk to them."""

    def __init__(self, folder: Path, state: StateFolder) -> None:
        self.fleet_file = write_fleet(folder)
        self.fleet: Fleet = load_fleet(self.fleet_file)
        self.state = state
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        gateway = self.fleet.gateway
        self.url = f"http://{gateway.address}:{gateway.port}"
        self.openai = openai.OpenAI(
            base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=REQUEST_LIMIT_S
        )

    def start(self) -> None:
        """Start every process and wait until all are ready."""
        for host in self.fleet.hosts:
            self.start_host(host.name)
        self._start("gateway", "serving.gateway")
        self._wait_ready()

    def restore(self) -> None:
        """Whatever a test has left: both hosts serve `exact` alone, and nothing runs on them."""
        for host in self.fleet.hosts:
            if not self._runs(host.name):
                self.start_host(host.name)
        if not self._runs("gateway"):
            self._start("gateway", "serving.gateway")
        for host in self.fleet.hosts:
            self.wait_serving(host.name)
        for host in self.fleet.hosts:
            self._give_back(host.name)
        self._wait_ready()
        until(self._rests, "nothing runs on the hosts")

    def grant(self, host: str, *models: str) -> None:
        """Say which models the host may have awake."""
        with self.host(host) as client:
            client.grant(Grant(plan_id=client.state().plan_id + 1, models=models))

    def start_host(self, name: str) -> None:
        """Start one engine host."""
        self._start(name, "serving.engine", "--host", name)

    def kill_host(self, name: str) -> None:
        """End a host and its engines as a machine failure would."""
        process = self._processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """Stop everything; what does not go by itself is killed."""
        for process in self._processes.values():
            process.terminate()
        for name, process in self._processes.items():
            try:
                process.wait(timeout=90)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise AssertionError(f"{name} did not stop when told to") from None

    def state_of(self, host: str) -> HostState:
        """The host's own word."""
        with self.host(host) as client:
            return client.state()

    def host(self, name: str) -> HostClient:
        """A client of the host's control interface."""
        settings = self.fleet.host(name)
        return HostClient(settings.address, settings.port, self.state.token("admin"))

    def wait_serving(self, name: str) -> None:
        """Wait until the host serves."""

        def serving() -> bool:
            if name in self._processes and self._processes[name].poll() is not None:
                raise AssertionError(f"{name} ended; its log:\n{self._log(name)}")
            with self.host(name) as client:
                return client.ready()

        try:
            until(serving, f"{name} serves")
        except AssertionError as error:
            error.add_note(f"its log:\n{self._log(name)}")
            raise

    def swap(self, host: str, model: str) -> SwapReport:
        """Change a host's awake model as the control plane would, and wait for it."""
        with self.host(host) as client:
            plan = max(self.state_of(name).plan_id for name in self._alive()) + 1
            return client.swap(SwapCommand(model=model, plan_id=plan, reason="a test"))

    def view(self) -> dict[str, Any]:
        """What the gateway sees of the pool."""
        view: dict[str, Any] = _get(f"{self.url}/fleet").json()
        return view

    def replicas(self, model: str) -> int:
        """Replicas of a model in the gateway's eyes."""
        return next(len(m["replicas"]) for m in self.view()["models"] if m["name"] == model)

    def host_running(self, request_class: str) -> str | None:
        """A host that runs a request of the class now, by its own word."""
        for name in self._alive():
            if getattr(self.state_of(name).running, request_class):
                return name
        return None

    def evictions(self, name: str) -> int:
        """How many requests the host has evicted to make room, since it started."""
        settings = self.fleet.host(name)
        page = f"http://{settings.address}:{settings.port}/metrics"
        return int(_total(page, "turntable_evictions_total"))

    def gateway_metric(self, name: str, **labels: str) -> float:
        """A counter of the gateway, over all that have these labels."""
        return _total(f"{self.url}/metrics", name, labels)

    def _start(self, name: str, module: str, *arguments: str) -> None:
        log = (self.state.logs / f"{name}.log").open("ab")
        command = [sys.executable, "-m", module, "--fleet", str(self.fleet_file)]
        self._processes[name] = subprocess.Popen(
            [*command, "--state", str(self.state.root), *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "VLLM_CONFIGURE_LOGGING": "0", "VLLM_NO_USAGE_STATS": "1"},
        )

    def _runs(self, name: str) -> bool:
        process = self._processes.get(name)
        return process is not None and process.poll() is None

    def _alive(self) -> list[str]:
        """The hosts that nobody has killed."""
        return [host.name for host in self.fleet.hosts if self._runs(host.name)]

    def _give_back(self, host: str) -> None:
        state = self.state_of(host)
        if len(state.grant) > 1:
            self.grant(host, "exact")
        if state.awake_model != "exact":
            assert self.swap(host, "exact").outcome == "committed"

    def _wait_ready(self) -> None:
        for host in self.fleet.hosts:
            self.wait_serving(host.name)
        until(self._gateway_ready, "the gateway is ready")
        until(lambda: self.replicas("exact") == 2, "the gateway sees both replicas")

    def _rests(self) -> bool:
        states = [self.state_of(host.name) for host in self.fleet.hosts]
        return not any(
            s.held or s.running != ClassCounts() or s.waiting != ClassCounts() for s in states
        )

    def _gateway_ready(self) -> bool:
        try:
            return _get(f"{self.url}/ready").status_code == 200
        except httpx.TransportError:
            return False

    def _log(self, name: str) -> str:
        path = self.state.logs / f"{name}.log"
        return path.read_text()[-4000:] if path.exists() else "(none)"


def _get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=60, trust_env=False)


def _total(page: str, name: str, labels: dict[str, str] | None = None) -> float:
    return sum(
        sample.value
        for family in text_string_to_metric_families(_get(page).text)
        for sample in family.samples
        if sample.name == name and sample.labels.items() >= (labels or {}).items()
    )

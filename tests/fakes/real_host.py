"""Runs a real engine host, its processes and vLLM engines, as the supervisor would."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml

from serving.clients.host import HostClient
from serving.config import Fleet, StateFolder, load_fleet
from serving.weights import prepare
from serving.wire import HostState, SwapCommand, SwapReport
from tests.fakes.host import wait_until
from tests.ports import free_ports

START_LIMIT_S = 240.0
STOP_LIMIT_S = 90.0


class RealHost:
    """`python -m serving.engine` in a process of its own; logs go to `log`."""

    def __init__(self, fleet_file: Path, state: StateFolder, name: str) -> None:
        self.fleet: Fleet = load_fleet(fleet_file)
        self.name, self.state_folder = name, state
        self.settings = self.fleet.host(name)
        self.token = state.token("admin")
        self.url = f"http://{self.settings.address}:{self.settings.port}"
        self.log = state.logs / f"{name}.log"
        arguments = ["--fleet", str(fleet_file), "--state", str(state.root), "--host", name]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "serving.engine", *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._seen: dict[int, psutil.Process] = {}

    def client(self) -> HostClient:
        return HostClient(self.settings.address, self.settings.port, self.token)

    def state(self) -> HostState:
        with self.client() as client:
            return client.state()

    def swap(self, model: str) -> SwapReport:
        """Make `model` awake by a plan newer than the last."""
        plan_id = self.state().plan_id + 1
        with self.client() as client:
            return client.swap(SwapCommand(model=model, plan_id=plan_id, reason="test"))

    def until_ready(self) -> None:
        """Wait until it serves; fails with the end of its log."""

        def ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            with self.client() as client:
                return client.ready()

        wait_until(ready, limit_s=START_LIMIT_S)

    def processes(self) -> list[psutil.Process]:
        """The light main and everything below it now."""
        main = psutil.Process(self.process.pid)
        found = [main, *main.children(recursive=True)]
        self._seen |= {process.pid: process for process in found}
        return found

    def warm_process(self) -> psutil.Process:
        """What the host process and all engines are forked from."""
        (warm,) = [p for p in self.processes()[0].children() if "forkserver" in _command(p)]
        return warm

    def host_process(self) -> psutil.Process:
        """What answers; the first that was forked."""
        return min(self.warm_process().children(), key=lambda process: process.create_time())

    def engines(self) -> list[psutil.Process]:
        """The engine processes, oldest first."""
        named = [p for p in self.processes() if "EngineCore" in _command(p)]
        return sorted(named, key=lambda process: process.create_time())

    def ended(self) -> bool:
        """Whether of all processes seen none is left."""
        return not any(
            process.is_running() and process.status() != psutil.STATUS_ZOMBIE
            for process in self._seen.values()
        )

    def stop(self) -> None:
        """SIGTERM, as the supervisor does; every process must end."""
        if self.process.poll() is None:
            self.processes()
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(STOP_LIMIT_S)
        wait_until(self.ended)


def _command(process: psutil.Process) -> str:
    """A process's command line; nothing of one that has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


@contextmanager
def real_host(folder: Path, models: list[dict[str, Any]], **settings: Any) -> Iterator[RealHost]:
    """A started (not yet ready) host named host-0 that serves `models`, all packaged weights."""
    ports = free_ports(5)
    fleet_file = folder / "fleet.yaml"
    fleet = {
        "gateway": {"port": ports[0]},
        "store": {"port": ports[1]},
        "dagster": {"port": ports[2], "code_port": ports[3]},
        "hosts": [{"name": "host-0", "port": ports[4], "cpu_cores": "0", **settings}],
        "models": [{"source": {"kind": "packaged"}, **model} for model in models],
    }
    fleet_file.write_text(yaml.safe_dump(fleet))
    state = StateFolder(folder / "state")
    _share_weights(state, load_fleet(fleet_file))
    host = RealHost(fleet_file, state, "host-0")
    try:
        yield host
    finally:
        host.stop()


def _share_weights(state: StateFolder, fleet: Fleet) -> None:
    """Use the checkpoint that `make up` prepared, or prepare it there for everyone."""
    shared = StateFolder.default()
    for model in fleet.models:
        prepare(model, shared, lambda _text: None)
    state.root.mkdir(parents=True, exist_ok=True)
    (state.root / "weights").symlink_to(shared.weights)

"""A whole instance for a benchmark: `turntable up` over a fleet, with everything that it starts.

What is seen of it is seen from outside: the gateway's view of the hosts, the traffic store, and
Dagster's GraphQL. Its control plane decides; a benchmark only asks the gateway.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from analytics.traffic import TrafficReader
from benchmarks.servers import Server, T, until
from benchmarks.setting import BenchmarkUnable
from benchmarks.start import START_LIMIT_S
from benchmarks.workspace import Workspace, write_fleet
from serving.config import OPERATOR_ACCOUNT, Fleet, StateFolder

_TIERS_LIMIT_S = 120.0
_READY_IDLE = ("asleep", "parked")


@dataclass(frozen=True)
class Instance:
    """A running instance."""

    fleet: Fleet
    state: StateFolder
    server: Server
    """The process of `turntable up`."""
    say: Callable[[str], None]

    @property
    def gateway(self) -> str:
        """Where clients ask."""
        return f"http://{self.fleet.gateway.address}:{self.fleet.gateway.port}"

    @property
    def key(self) -> str:
        """What it takes for an API key, whatever keys its fleet names."""
        return self.state.token(OPERATOR_ACCOUNT)

    @property
    def dagster(self) -> str:
        """Dagster's pages."""
        return f"http://{self.fleet.dagster.address}:{self.fleet.dagster.port}"

    def reader(self) -> TrafficReader:
        """A reader of the traffic store, for the caller to close."""
        store = self.fleet.store
        return TrafficReader(store.address, store.port, self.state.token("store"))

    def hosts(self) -> dict[str, dict[str, Any]]:
        """The hosts by name, as the gateway sees them; none while it does not answer."""
        try:
            answer = httpx.get(f"{self.gateway}/fleet", timeout=10, trust_env=False)
            return {host["host"]: host for host in answer.raise_for_status().json()["hosts"]}
        except httpx.HTTPError:
            return {}

    def replicas(self, model: str) -> list[str]:
        """The hosts that serve `model`, as the gateway sees them."""
        return [
            name
            for name, host in self.hosts().items()
            if _serves(host) and host["awake_model"] == model
        ]

    def wait_ready(self) -> float:
        """Wait until every host serves and Dagster's pages answer; when, on the monotonic clock."""

        def ready() -> float | None:
            hosts = self.hosts()
            serving = len(hosts) == len(self.fleet.hosts) and all(map(_serves, hosts.values()))
            return time.monotonic() if serving and self._pages_answer() else None

        return self.until(ready, "every host serves")

    def wait_for_tiers(self, host: str) -> None:
        """A host warms its other models after it is ready: wait until it has done that."""

        def warm() -> bool | None:
            seen = self.hosts().get(host)
            if seen is None or not _serves(seen):
                return None
            others = [tier for name, tier in seen["tiers"].items() if name != seen["awake_model"]]
            return all(tier in _READY_IDLE for tier in others) or None

        self.until(warm, f"{host} holds its other models", limit_s=_TIERS_LIMIT_S)

    def until(
        self, condition: Callable[[], T | None], what: str, *, limit_s: float = START_LIMIT_S
    ) -> T:
        """The first value of `condition` that is not None; BenchmarkUnable after `limit_s`."""
        return until(condition, what, limit_s=limit_s, server=self.server)

    def graphql(self, query: str, **variables: object) -> dict[str, Any]:
        """Dagster's answer. Raises BenchmarkUnable if it has none."""
        try:
            answer = httpx.post(
                f"{self.dagster}/graphql",
                json={"query": query, "variables": variables},
                timeout=30,
                trust_env=False,
            )
            data: dict[str, Any] = answer.raise_for_status().json()["data"]
        except (httpx.HTTPError, KeyError) as error:
            raise BenchmarkUnable(
                f"Dagster's GraphQL gave no data: {error}",
                where=self.dagster,
                fix="Look at the log of its pages.",
            ) from error
        return data

    def _pages_answer(self) -> bool:
        try:
            answer = httpx.get(f"{self.dagster}/server_info", timeout=10, trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.is_success


@contextmanager
def started_instance(workspace: Workspace, fleet: Fleet, name: str) -> Iterator[Instance]:
    """`turntable up` over `fleet`, just started and not waited for; stopped when this closes."""
    state = workspace.state(name)
    fleet_file = workspace.root / f"{name}.yaml"
    write_fleet(fleet, fleet_file)
    command = [str(Path(sys.executable).parent / "turntable")]
    command += ["--fleet", str(fleet_file), "--state", str(state.root), "up"]
    log = workspace.root / f"{name}.log"
    with Server(command, log, workspace.environment()) as server:
        yield Instance(fleet, state, server, workspace.say)


def _serves(host: dict[str, Any]) -> bool:
    return bool(host["reachable"]) and host["phase"] == "serving"

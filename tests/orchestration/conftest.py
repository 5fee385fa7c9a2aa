"""Installations: one over a stand-in for the gateway, and one over fake hosts and a real store."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.storage.defs_state.base import set_defs_state_storage

from analytics.events import GatewaySample, Swap
from analytics.writer import EventWriter
from orchestration.installation import Installation
from serving.config import Fleet, StateFolder
from tests.analytics.conftest import ADDRESS, TOKEN, StoreProcess
from tests.fakes.engine import FakeEngines
from tests.fakes.host import FakeHost, ListSink, fake_fleet, running_host
from tests.orchestration.declaring import an_installation
from tests.orchestration.gateway import FakeGateway, fake_gateway

AHEAD_S = 600.0
"""Samples are fresh for 5 s only; tests put theirs ahead: a slow machine changes nothing."""
PATIENCE_S = 90.0


@pytest.fixture(autouse=True)
def no_instance_left_behind() -> Iterator[None]:
    """Definitions are loaded with the storage of the last instance, gone or not; forget it."""
    with set_defs_state_storage(None):
        yield


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as temporary:
        yield temporary


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with fake_gateway() as running:
        yield running


@pytest.fixture
def installation(tmp_path: Path, gateway: FakeGateway) -> Installation:
    """With the models a and b, and nothing but the gateway's stand-in running."""
    return an_installation(tmp_path, gateway.port)


@pytest.fixture
def state(installation: Installation) -> StateFolder:
    return installation.state


@pytest.fixture(scope="session")
def traffic_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    """One store process for all tests; emptied for each."""
    process = StoreProcess(tmp_path_factory.mktemp("store"))
    process.start()
    yield process
    process.stop()


@pytest.fixture(autouse=True)
def nobody_is_given_up_for_being_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts and store of a test share its machine, which may stand still for a while."""
    monkeypatch.setattr("serving.clients.host._ANSWER_S", PATIENCE_S)
    monkeypatch.setattr("orchestration.allocation.reading.watch.FIRST_ANSWER_S", PATIENCE_S)
    monkeypatch.setattr("orchestration.allocation.reading.snapshot.ANSWER_S", PATIENCE_S)
    monkeypatch.setattr("orchestration.allocation.reading.traffic_source.LOOK_ANSWER_S", PATIENCE_S)
    monkeypatch.setattr("orchestration.hotswaps.GRANT_S", PATIENCE_S)


@pytest.fixture
def the_store_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """So what is recorded is not given up: without a store this would be a long wait."""
    monkeypatch.setattr("analytics.writer.CLOSE_S", PATIENCE_S)
    monkeypatch.setattr("orchestration.evaluations.SEND_S", PATIENCE_S)


@dataclass
class Rig:
    """What a test steers: hosts, and the requests that wait at a gateway."""

    fleet: Fleet
    state: StateFolder
    installation: Installation
    store: StoreProcess
    hosts: dict[str, FakeHost] = field(default_factory=dict)

    def waiting(self, model: str, count: int) -> None:
        """`count` interactive requests wait for `model`, and the store knows."""
        writer = EventWriter(ADDRESS, self.store.port, TOKEN, source="tests")
        writer.append(
            GatewaySample(
                sampled_at=time.time() + AHEAD_S,
                model=model,
                request_class="interactive",
                waiting=count,
                running=0,
            )
        )
        writer.close(timeout_s=PATIENCE_S)

    def record_swaps(self) -> None:
        """What the hosts recorded of their hotswaps is in the store."""
        writer = EventWriter(ADDRESS, self.store.port, TOKEN, source="tests")
        for host in self.hosts.values():
            assert isinstance(host.sink, ListSink)
            for event in host.sink.events:
                if isinstance(event, Swap):
                    writer.append(event)
            host.sink.events.clear()
        writer.close(timeout_s=PATIENCE_S)

    def grants(self) -> dict[str, tuple[str, ...]]:
        grants = {}
        for name, host in self.hosts.items():
            with host.client() as client:
                grants[name] = client.state().grant
        return grants

    def awake(self) -> dict[str, str | None]:
        states = {}
        for name, host in self.hosts.items():
            with host.client() as client:
                states[name] = client.state().awake_model
        return states


class RigMaker:
    """Makes the rig a test asks for; ends what it started."""

    def __init__(self, folder: Path, store: StoreProcess, stack: ExitStack) -> None:
        self._folder, self._store, self._stack = folder, store, stack

    def __call__(
        self,
        models: dict[str, dict[str, int]],
        hosts: dict[str, str],
        *,
        engines: dict[str, FakeEngines] | None = None,
        cooldown_s: float = 0.0,
        time_sharing: bool = False,
    ) -> Rig:
        fleet = fake_fleet(
            models,
            dict(hosts),
            store={"port": self._store.port},
            allocation={
                "window_s": 10,
                "cooldown_s": cooldown_s,
                "time_sharing": time_sharing,
            },
        )
        state = StateFolder(self._folder)
        (state.folder("secrets") / "store").write_text(TOKEN)
        file = self._folder / "fleet.yaml"
        file.write_text(yaml.safe_dump(fleet.model_dump(mode="json")))
        installation = Installation(fleet_file=str(file), state_folder=str(self._folder))
        rig = Rig(fleet, state, installation, self._store)
        for name in hosts:
            host = running_host(fleet, state, name, engines=(engines or {}).get(name))
            rig.hosts[name] = self._stack.enter_context(host)
        return rig


@pytest.fixture
def make_rig(tmp_path: Path, traffic_store: StoreProcess) -> Iterator[RigMaker]:
    with traffic_store.reader() as reader:
        for table in ("gateway_samples", "swaps", "plans", "evaluations"):
            reader.query(f"DELETE FROM {table}")
    with ExitStack() as stack:
        yield RigMaker(tmp_path, traffic_store, stack)

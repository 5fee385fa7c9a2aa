"""Weights that are not on the host's disk, and a disk that they do not fit on.

The real host over HTTP and the real weights store; engines that are fakes but for their weights.
"""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serving.config import Fleet, ModelSettings, StateFolder
from serving.engine.assembly import HostOptions
from serving.engine.stored_weights import StoredWeights
from serving.weights import checkpoint_path
from serving.wire import Finished, IdleTier, SwapCommand, SwapReport, Tier, TierReport
from tests.engine.asking import state
from tests.fakes.engine import FakeEngine, FakeEngines
from tests.fakes.generate import Reader, generate_request
from tests.fakes.host import LIMIT_S, FakeHost, fake_fleet, running_host, wait_until

OPTIONS = HostOptions(prewarm_after_s=None, drain_s=0.2, sample_s=0.05)


class LoadingEngine(FakeEngine):
    """Holds its checkpoint from start to stop, as vLLM's does."""

    def __init__(self, model: ModelSettings, controls: FakeEngines, weights: StoredWeights) -> None:
        super().__init__(model, controls)
        self._checkpoint = weights.of(model)

    async def start(self) -> None:
        self._lease = await asyncio.to_thread(self._checkpoint)
        await super().start()

    async def stop(self) -> None:
        await super().stop()
        if hasattr(self, "_lease"):
            self._lease.release()


class LoadingEngines(FakeEngines):
    """Makes loading engines."""

    weights: StoredWeights

    def __call__(self, model: ModelSettings) -> FakeEngine:
        engine = LoadingEngine(model, self, self.weights)
        self.alive[model.name] = engine
        return engine


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """Of a, whose weights are there, and b, whose weights are not."""
    folder = tmp_path / "weights-of-a"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    there = {"source": {"kind": "local", "path": str(folder)}}
    return fake_fleet({"a": there, "b": {}}, {"host-0": "a"})


@pytest.fixture
def host(tmp_path: Path, fleet: Fleet) -> Iterator[FakeHost]:
    state, engines = StateFolder(tmp_path / "state"), LoadingEngines()
    engines.weights = StoredWeights(fleet, state)
    with running_host(
        fleet, state, "host-0", engines=engines, options=OPTIONS, weights=engines.weights
    ) as running:
        wait_until(lambda: tier_of(running, "b") == "absent")
        yield running


def tier_of(host: FakeHost, model: str) -> Tier:
    return state(host).tiers[model]


def prefetch(host: FakeHost, tier: IdleTier) -> TierReport:
    with host.client() as client:
        return client.change_tier("b", tier)


def a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Conversions write to a device that is full."""
    converter = tmp_path / "converter"
    converter.write_text("#!/bin/sh\ncat /proc/self/stat > /dev/full\n")
    converter.chmod(0o755)
    monkeypatch.setattr("serving.weights.recipes.sys.executable", str(converter))


def a_disk_with_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Conversions write next to nothing, and that works."""

    def convert(folder: Path, _progress: object) -> None:
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr("serving.weights.recipes.convert_packaged", convert)


def test_a_model_without_weights_on_disk_is_absent_until_somebody_brings_them(
    host: FakeHost, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tier_of(host, "a") == "awake"
    a_disk_with_room(monkeypatch)
    StoredWeights(fleet, host.state_folder).prepare("b")
    wait_until(lambda: tier_of(host, "b") == "disk")


def test_weights_are_prefetched_without_starting_an_engine(
    host: FakeHost, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_disk_with_room(monkeypatch)
    report = prefetch(host, "disk")
    assert (report.from_tier, report.tier, report.error) == ("absent", "disk", None)
    assert checkpoint_path(fleet.model("b"), host.state_folder).is_dir()
    assert list(host.engines.alive) == ["a"]


@pytest.mark.parametrize("tier", ["disk", "parked", "asleep"])
def test_a_disk_full_during_prefetch_is_said_and_the_host_goes_on(
    host: FakeHost,
    fleet: Fleet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tier: IdleTier,
) -> None:
    with monkeypatch.context() as full:
        a_disk_that_is_full(tmp_path, full)
        report = prefetch(host, tier)
    assert "the disk is full" in (report.error or "")
    assert (report.from_tier, report.tier) == ("absent", "absent")
    assert not checkpoint_path(fleet.model("b"), host.state_folder).exists()
    assert host.serves()
    a_disk_with_room(monkeypatch)
    assert prefetch(host, tier).tier == tier


def swap_to_b(host: FakeHost) -> SwapReport:
    with host.client() as client:
        return client.swap(SwapCommand(model="b", plan_id=1, reason="test"))


def test_a_hotswap_fetches_weights_while_the_old_model_serves(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetching = threading.Event()

    def convert(folder: Path, _progress: object) -> None:
        assert fetching.wait(LIMIT_S)
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr("serving.weights.recipes.convert_packaged", convert)
    with ThreadPoolExecutor(1) as pool:
        swapping = pool.submit(swap_to_b, host)
        wait_until(lambda: state(host).swap_target == "b")
        assert host.serves()
        reader = Reader(host.url, host.token, generate_request("r", "a"))
        assert reader.end() == Finished("length")
        fetching.set()
        report = swapping.result()
    assert (report.outcome, report.from_tier) == ("committed", "absent")
    assert list(report.phases_s) == ["fetch", "hand_back", "sleep", "wake", "canary"]
    assert report.service_gap_s <= report.total_s - report.phases_s["fetch"]


def test_a_fetch_that_nobody_needs_any_more_can_be_cancelled(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = threading.Event()

    def convert(folder: Path, _progress: object) -> None:
        assert cancelled.wait(LIMIT_S)
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr("serving.weights.recipes.convert_packaged", convert)
    with ThreadPoolExecutor(1) as pool, host.client() as client:
        swapping = pool.submit(swap_to_b, host)
        wait_until(lambda: state(host).swap_target == "b")
        client.cancel(1)
        cancelled.set()
        assert swapping.result().outcome == "cancelled"
    assert state(host).awake_model == "a"


def test_an_old_engine_that_dies_during_the_fetch_is_replaced_by_the_new_model(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    died = threading.Event()

    def convert(folder: Path, _progress: object) -> None:
        assert died.wait(LIMIT_S)
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr("serving.weights.recipes.convert_packaged", convert)
    with ThreadPoolExecutor(1) as pool:
        swapping = pool.submit(swap_to_b, host)
        wait_until(lambda: state(host).swap_target == "b")
        host.engines.kill("a")
        wait_until(lambda: state(host).phase == "swapping")
        died.set()
        assert swapping.result().outcome == "committed"
    assert host.engines.awake() == ["b"]


def test_a_hotswap_that_meets_a_full_disk_costs_the_old_model_nothing(
    host: FakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_disk_that_is_full(tmp_path, monkeypatch)
    report = swap_to_b(host)
    assert (report.outcome, report.from_tier) == ("rolled_back", "absent")
    assert "the disk is full" in (report.error or "")
    assert report.service_gap_s == 0.0
    assert tier_of(host, "a") == "awake"
    wait_until(lambda: tier_of(host, "b") == "absent")

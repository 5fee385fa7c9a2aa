"""Tasks of a host that die: what measures is begun again, the owner takes its host along."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from analytics.events import EngineSample
from serving.config import StateFolder
from serving.engine.assembly import HostOptions
from serving.engine.engines import Engines
from tests.fakes.engine import FakeEngines
from tests.fakes.host import FakeHost, ListSink, fake_fleet, running_host, wait_until


class BreakingSink(ListSink):
    """Takes no samples before it is mended."""

    def __init__(self) -> None:
        super().__init__()
        self.is_broken = True

    def append(self, event: Any) -> None:
        if self.is_broken and isinstance(event, EngineSample):
            raise ValueError("a fault of the sink")
        super().append(event)


def health(host: FakeHost) -> httpx.Response:
    return httpx.get(f"{host.url}/health", timeout=60)


def test_a_host_whose_tasks_all_run_is_well(host: FakeHost) -> None:
    assert (health(host).status_code, health(host).json()) == (200, {"status": "well"})


def test_a_sampler_that_dies_is_told_and_begun_again_and_the_host_serves(tmp_path: Path) -> None:
    fleet, sink = fake_fleet(["a"], {"host-0": "a"}), BreakingSink()
    with running_host(fleet, StateFolder(tmp_path), "host-0", sink=sink) as host:
        wait_until(lambda: health(host).status_code == 503)
        (task,) = health(host).json()["failing"]
        assert (task["task"], task["why"]) == ("sampler", "ValueError: a fault of the sink")
        assert host.serves()

        sink.is_broken = False

        wait_until(lambda: bool(sink.events))
        assert not host.crashed.is_set()


def test_an_effect_that_dies_without_a_word_ends_its_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would ever hear how it ended: a hotswap or a move would go on for ever."""

    def broken(_engines: Engines, _model: str) -> str:
        raise KeyError("a fault")

    monkeypatch.setattr(Engines, "resting_tier", broken)
    engines = FakeEngines(fail_always={("b", "start"): "so that its tier is asked for"})
    fleet, options = fake_fleet(["a", "b"], {"host-0": "a"}), HostOptions(prewarm_after_s=0.0)
    with running_host(
        fleet, StateFolder(tmp_path), "host-0", engines=engines, options=options
    ) as host:
        wait_until(host.crashed.is_set)

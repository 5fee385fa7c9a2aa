"""A real engine host on CUDA: both awake for a switch, prefetch, parking, groups of devices."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from serving.engine.vllm.device_use import DeviceUse
from serving.wire import Finished, SwapReport
from tests.fakes.generate import Reader, generate_request
from tests.fakes.host import wait_until
from tests.fakes.real_host import RealHost, real_host

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]

GIB = 1024**3
LIMITS = {"max_model_len": 512, "kv_cache_gib": 1, "slots": 4, "interactive_cap": 2}
MODELS = [
    {"name": "exact", "dtype": "float32", **LIMITS},
    {"name": "half", "dtype": "bfloat16", **LIMITS},
]
ROOMY: dict[str, Any] = {"accelerator": "cuda", "cpu_cores": "auto", "host_memory_gib": 32}


# The packaged model has nine attention heads, which two devices cannot share.
SOURCE = {"kind": "random", "hidden_size": 512, "layers": 6, "heads": 8}
DIVISIBLE = [model | {"source": SOURCE} for model in MODELS]


@contextmanager
def cuda_host(
    folder: Path, models: list[dict[str, Any]] = MODELS, **settings: Any
) -> Iterator[RealHost]:
    with real_host(folder, models, starts_with="exact", **ROOMY, **settings) as host:
        host.until_ready()
        yield host


def tokens(host: RealHost, model: str) -> list[int]:
    request = generate_request(f"of {model}", model, prompt=[504, 3575, 282], max_tokens=16)
    reader = Reader(host.url, host.token, request)
    assert reader.end() == Finished("length")
    return reader.tokens


def phases(report: SwapReport) -> list[str]:
    assert report.outcome == "committed"
    return list(report.phases_s)


def test_where_the_device_holds_both_the_switch_leaves_no_gap(tmp_path: Path) -> None:
    with cuda_host(tmp_path, devices=[0], device_memory_gib=16) as host:
        before = tokens(host, "exact")
        wait_until(lambda: host.state().device_bytes > GIB)
        alone_bytes = host.state().device_bytes
        # Prefetched beside the awake model, which goes on serving.
        with host.client() as client:
            assert client.change_tier("half", "asleep").tier == "asleep"
        wait_until(lambda: host.state().device_bytes > alone_bytes)
        assert tokens(host, "exact") == before
        report = host.swap("half")
        assert phases(report) == ["wake", "canary", "hand_back", "sleep"]
        assert report.service_gap_s == 0.0
        assert phases(host.swap("exact"))[0] == "wake"
        assert tokens(host, "exact") == before


def test_without_a_device_budget_the_old_model_sleeps_first_and_parks_on_demand(
    tmp_path: Path,
) -> None:
    with cuda_host(tmp_path, devices=[0]) as host:
        before = tokens(host, "exact")
        report = host.swap("half")
        assert phases(report) == ["hand_back", "sleep", "wake", "canary"]
        with host.client() as client:
            assert client.change_tier("exact", "parked").tier == "parked"
        report = host.swap("exact")
        assert (report.outcome, report.from_tier) == ("committed", "parked")
        assert tokens(host, "exact") == before


def test_what_a_host_says_its_engines_hold_is_what_the_driver_says(tmp_path: Path) -> None:
    use = DeviceUse("0", 0)
    idle_bytes = use.used_bytes()
    with cuda_host(tmp_path, devices=[0]) as host:
        host.swap("half")
        wait_until(lambda: host.state().device_bytes > GIB)
        assert abs(host.state().device_bytes - (use.used_bytes() - idle_bytes)) < GIB
        assert host.state().memory_bytes < 32 * GIB


def test_nothing_forks_from_a_process_with_a_cuda_context(tmp_path: Path) -> None:
    with cuda_host(tmp_path, devices=[0]) as host:
        (engine,) = host.engines()
        assert uses_cuda(engine), "this test would not see a context"
        assert not uses_cuda(host.warm_process())
        assert not uses_cuda(host.processes()[0])


def uses_cuda(process: psutil.Process) -> bool:
    """Whether it has opened what every CUDA context needs and the driver's tools do not."""
    descriptors = Path(f"/proc/{process.pid}/fd")
    return any("nvidia-uvm" in str(one.readlink()) for one in descriptors.iterdir())


@pytest.mark.usefixtures("two_devices")
def test_a_tensor_parallel_group_sleeps_parks_and_wakes_as_one(tmp_path: Path) -> None:
    with cuda_host(tmp_path, DIVISIBLE, devices=[0, 1]) as host:
        before = tokens(host, "exact")
        assert phases(host.swap("half"))
        assert phases(host.swap("exact"))
        assert tokens(host, "exact") == before
        host.swap("half")
        with host.client() as client:
            assert client.change_tier("exact", "parked").tier == "parked"
        assert host.swap("exact").from_tier == "parked"
        assert tokens(host, "exact") == before

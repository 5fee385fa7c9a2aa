"""Accelerators with memory of their own: what engines hold of it, and what may be awake at once."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.config import Fleet, StateFolder
from serving.engine.assembly import HostOptions
from serving.engine.decisions.device import DeviceBudget
from serving.engine.decisions.effects import Move
from serving.engine.decisions.residency import Residency
from serving.engine.protocol import DeviceMemory
from serving.engine.vllm.device_use import DeviceUse, outside_bytes
from serving.engine.vllm.held_memory import held_memory
from serving.engine.vllm.resident import is_resident
from serving.errors import PlanRefused
from serving.wire import SwapCommand, SwapReport, Tier
from tests.fakes.host import FakeHost, fake_fleet, running_host, wait_until

GIB = 1024**3
AWAKE, ASLEEP = DeviceMemory(40, 40), DeviceMemory(2, 40)


def budget(budget_bytes: int | None, **engines: DeviceMemory) -> DeviceBudget:
    made = DeviceBudget(budget_bytes)
    made.measured(engines)
    return made


# ---------------------------------------------------------------- the budget


def test_two_engines_fit_by_what_they_hold_awake_beside_the_contexts_of_the_others() -> None:
    engines = {"a": AWAKE, "b": ASLEEP, "c": ASLEEP}
    assert budget(82, **engines).fits("b")
    assert not budget(81, **engines).fits("b"), "the context of c is on the device too"


def test_what_an_engine_holds_awake_is_known_while_it_sleeps_and_after_it_has_ended() -> None:
    made = budget(100, a=AWAKE, b=DeviceMemory(2, 50))
    made.measured({"a": AWAKE})
    assert made.fits("b")
    made.measured({"a": AWAKE, "c": DeviceMemory(11, 11)})
    assert not made.fits("b")


def test_a_model_never_loaded_does_not_wake_first_but_is_loaded_if_one_like_the_largest_fits() -> (
    None
):
    made = budget(80, a=AWAKE)
    assert not made.fits("new")
    assert made.shortage("new") is None
    assert budget(79, a=AWAKE).shortage("new") is not None


def test_without_a_budget_one_engine_at_a_time_has_the_device() -> None:
    made = budget(None, a=AWAKE, b=DeviceMemory(0, 1))
    assert not made.fits("b")
    assert "another model has the device" in (made.shortage("b") or "")
    assert not made.loads_beside()
    assert not made.over()


def test_a_shortage_names_what_is_needed_and_what_is_free() -> None:
    made = budget(3 * GIB, a=DeviceMemory(2 * GIB, 2 * GIB))
    assert made.shortage("b") == "b needs 2.00 GiB of the device, 1.00 GiB of 3.00 GiB are free"


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9)),
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9)),
    st.integers(0, 30),
)
def test_what_fits_is_within_the_budget_once_awake(
    asleep: dict[str, int], more_awake: dict[str, int], budget_bytes: int
) -> None:
    engines = {m: DeviceMemory(held, held + more_awake.get(m, 0)) for m, held in asleep.items()}
    made = budget(budget_bytes, **engines)
    for model in filter(made.fits, engines):
        woken = engines | {model: DeviceMemory(engines[model].awake_bytes)}
        assert sum(memory.held_bytes for memory in woken.values()) <= budget_bytes


# ---------------------------------------------------------------- tiers


def residency(device_bytes: int | None, tiers: dict[str, Tier], host_bytes: int = 100) -> Residency:
    made = Residency(tiers, budget_bytes=host_bytes, device=DeviceBudget(device_bytes))
    for model, tier in tiers.items():
        if tier in ("asleep", "parked"):
            made.set_tier(model, "awake")
        made.set_tier(model, tier)
    return made


def test_when_contexts_fill_the_device_the_least_recently_awake_engine_is_stopped() -> None:
    held = residency(43, {"a": "asleep", "b": "asleep", "c": "awake"})
    held.measured({"a": 1, "b": 1, "c": 1}, None, {"a": ASLEEP, "b": ASLEEP, "c": AWAKE})
    assert held.next_move(busy=True, now=0.0) == Move("a", "disk")


def test_a_parked_engine_is_stopped_first_since_parking_freed_no_device_memory() -> None:
    held = residency(43, {"a": "asleep", "b": "parked", "c": "awake"})
    held.measured({"a": 1, "b": 1, "c": 1}, None, {"a": ASLEEP, "b": ASLEEP, "c": AWAKE})
    assert held.next_move(busy=True, now=0.0) == Move("b", "disk")


def test_pinned_memory_of_the_awake_engine_counts_against_host_ram() -> None:
    held = residency(100, {"a": "asleep", "b": "awake"}, host_bytes=9)
    held.measured({"a": 5, "b": 5}, None, {"a": ASLEEP, "b": AWAKE})
    assert held.next_move(busy=True, now=0.0) == Move("a", "parked")


def test_a_model_is_loaded_beside_the_awake_one_only_where_the_device_has_room() -> None:
    for device_bytes, move in ((80, Move("b", "asleep")), (79, None), (None, None)):
        held = residency(device_bytes, {"a": "awake", "b": "disk"})
        held.prewarm = True
        held.measured({"a": 5}, None, {"a": AWAKE})
        assert held.next_move(busy=False, now=0.0) == move


# ---------------------------------------------------------------- a host


def cuda_fleet(device_gib: float | None) -> Fleet:
    fleet = fake_fleet(["a", "b"], {"host-0": "a"})
    (host,) = fleet.hosts
    update = {"accelerator": "cuda", "device_memory_gib": device_gib}
    return fleet.model_copy(update={"hosts": [host.model_copy(update=update)]})


def third_swap(host: FakeHost) -> SwapReport:
    """To b, which has been awake and sleeps, from a, awake."""
    host.engines.device_bytes |= {"a": GIB, "b": GIB}
    with host.client() as client:
        for plan_id, model in enumerate(("b", "a"), start=1):
            client.swap(SwapCommand(model=model, plan_id=plan_id, reason="test"))
        assert host.host is not None
        residency = host.host.owner.decisions.residency
        wait_until(lambda: residency.may_move)  # memory was measured since the last swap
        assert client.state().device_bytes == GIB
        return client.swap(SwapCommand(model="b", plan_id=3, reason="test"))


@pytest.mark.parametrize(
    ("device_gib", "first"), [(2.0, "wake"), (1.9, "hand_back"), (None, "hand_back")]
)
def test_on_cuda_the_new_model_wakes_first_where_the_device_holds_both(
    tmp_path: Path, device_gib: float | None, first: str
) -> None:
    options = HostOptions(prewarm_after_s=None, drain_s=0.2, sample_s=0.05)
    with running_host(
        cuda_fleet(device_gib), StateFolder(tmp_path), "host-0", options=options
    ) as host:
        report = third_swap(host)
    assert report.outcome == "committed"
    assert next(iter(report.phases_s)) == first
    assert (report.service_gap_s == 0.0) == (first == "wake")


def test_on_cuda_an_asleep_model_is_parked_on_demand_and_wakes_from_there(tmp_path: Path) -> None:
    with (
        running_host(cuda_fleet(None), StateFolder(tmp_path), "host-0") as host,
        host.client() as client,
    ):
        client.swap(SwapCommand(model="b", plan_id=1, reason="test"))
        assert client.change_tier("a", "parked").tier == "parked"
        assert host.engines.alive["a"].condition == "parked"
        report = client.swap(SwapCommand(model="a", plan_id=2, reason="test"))
        assert (report.outcome, report.from_tier) == ("committed", "parked")


def test_on_cuda_without_a_device_budget_a_prefetch_is_refused_by_name(tmp_path: Path) -> None:
    with (
        running_host(cuda_fleet(None), StateFolder(tmp_path), "host-0") as host,
        host.client() as client,
        pytest.raises(PlanRefused, match="b cannot be loaded while another model has the device"),
    ):
        client.change_tier("b", "asleep")


# ---------------------------------------------------------------- measuring


def test_a_tensor_parallel_engine_counts_its_fullest_device_and_all_its_host_ram() -> None:
    workers = [
        {"process_id": 1, "held_bytes": 5, "awake_bytes": 50, "unseen_host_bytes": 3},
        {"process_id": 2, "held_bytes": 6, "awake_bytes": 40, "unseen_host_bytes": 4},
    ]
    held = held_memory(workers)  # type: ignore[arg-type]
    assert held.process_ids == {1, 2}
    assert held.device == DeviceMemory(6, 50)
    assert held.unseen_host_bytes == 7


SMAPS = """\
7f0000000000-7f0000002000 rw-s 00000000 00:05 1 /dev/nvidiactl
Size:                  8 kB
Rss:                   0 kB
VmFlags: rd wr sh io
7f0000002000-7f0000004000 rw-p 00000000 00:00 0
Size:                  8 kB
Rss:                   4 kB
VmFlags: rd wr mr
"""


def test_memory_mapped_by_a_driver_may_not_count_as_resident() -> None:
    assert not is_resident(0x7F0000001000, SMAPS)
    assert is_resident(0x7F0000002000, SMAPS)
    assert not is_resident(0x1000, SMAPS)


class Driver:
    """NVML of two devices; in a container it knows processes by other ids."""

    def __init__(self, processes: dict[int, int | None]) -> None:
        self.processes = processes
        self.used = {"0": 10, "1": 20, "GPU-x": 30}

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        return str(index)

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        return uuid

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(used=self.used[handle])

    def nvmlDeviceGetComputeRunningProcesses(self, _handle: str) -> list[SimpleNamespace]:  # noqa: N802
        return [
            SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in self.processes.items()
        ]


@pytest.mark.parametrize(
    ("visible", "rank", "used"), [(None, 1, 20), ("1", 0, 20), ("1,0", 1, 10), ("GPU-x", 0, 30)]
)
def test_a_worker_finds_its_device_by_what_is_visible_to_it(
    visible: str | None, rank: int, used: int
) -> None:
    assert DeviceUse(visible, rank, Driver({})).used_bytes() == used


def test_a_process_the_driver_knows_is_measured_by_itself() -> None:
    use = DeviceUse(None, 0, Driver({7: 5, 8: 6}))
    assert use.own_bytes(8) == 6


@pytest.mark.parametrize("processes", [{}, {8: None}, {9: 6}])
def test_else_by_what_the_device_comes_to_hold_while_its_context_is_made(
    processes: dict[int, int | None],
) -> None:
    driver = Driver(processes)
    use = DeviceUse(None, 0, driver)
    driver.used["0"] = 17
    assert use.own_bytes(8) is None
    assert use.grown_bytes() == 7


def test_and_by_what_torch_holds_outside_of_the_sleep_allocators_pools() -> None:
    segments = [
        {"total_size": 5, "segment_pool_id": [0, 0]},
        {"total_size": 7, "segment_pool_id": (0, 3)},
        {"total_size": 11, "segment_pool_id": (2, 0)},
    ]
    assert outside_bytes(segments, {(0, 3)}) == 16

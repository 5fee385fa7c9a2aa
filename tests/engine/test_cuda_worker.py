"""The CUDA worker's sleep, over vLLM's own allocator and a device made of ordinary memory."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from serving.engine.vllm.cuda_worker import SleepingGPUWorker
from tests.fakes.cuda_device import SEGMENT_BYTES, Device, Runner, worker_on_a_device

ANGLES = torch.arange(8, dtype=torch.float32).view(2, 4).t()


def whole(runner: Runner) -> bool:
    """Whether weights and buffers are what they were."""
    model = runner.model
    return bool((model.weight == 1.5).all()) and torch.equal(model.angles, ANGLES)  # type: ignore[arg-type]


def test_level_1_gives_the_device_back_and_wakes_with_the_weights_it_kept() -> None:
    with worker_on_a_device(1.5) as (worker, runner, device):
        runner.model.angles.copy_(ANGLES)  # type: ignore[operator]
        worker.sleep(1)
        assert not device.mapped
        worker.wake_up()
        assert whole(runner)
        assert runner.reloads == 0


def test_level_2_reads_the_weights_again_before_the_cache_is_back() -> None:
    with worker_on_a_device(1.5) as (worker, runner, device):
        runner.model.angles.copy_(ANGLES)  # type: ignore[operator]
        worker.sleep(2)
        worker.wake_up()
        assert whole(runner)
        assert (runner.reloads, len(device.mapped)) == (1, 2)


def test_a_sleeping_engine_drops_its_weights_and_keeps_what_no_checkpoint_has() -> None:
    with worker_on_a_device(1.5) as (worker, runner, device):
        runner.model.angles.copy_(ANGLES)  # type: ignore[operator]
        worker.sleep(1)
        worker.sleep(2)
        assert kept_bytes() == 0
        assert not device.mapped, "dropping must not need the device"
        worker.wake_up()
        assert whole(runner)
        assert runner.reloads == 1


def kept_bytes() -> int:
    from vllm.device_allocator.cumem import CuMemAllocator

    entries = CuMemAllocator.get_instance().pointer_to_data.values()
    return sum(e.handle[1] for e in entries if e.cpu_backup_tensor is not None)


@given(st.lists(st.sampled_from(["sleep 1", "sleep 2", "wake"]), max_size=12))
def test_whatever_the_order_an_awake_engine_is_whole_and_an_idle_one_off_the_device(
    steps: list[str],
) -> None:
    with worker_on_a_device(1.5) as (worker, runner, device):
        runner.model.angles.copy_(ANGLES)  # type: ignore[operator]
        for step in steps:
            take(worker, step)
            assert len(device.mapped) == (2 if step == "wake" else 0)
        take(worker, "wake")
        assert whole(runner)


def take(worker: SleepingGPUWorker, step: str) -> None:
    """As vLLM's executor does: it asks no worker to wake that is awake."""
    if step != "wake":
        worker.sleep(int(step[-1]))
    elif worker._level:
        worker.wake_up()


def test_it_says_what_it_holds_of_the_device_now_and_awake() -> None:
    with worker_on_a_device(1.5) as (worker, _runner, _device):
        worker._beyond_pools_bytes = 100
        assert held(worker) == (100 + 2 * SEGMENT_BYTES, 100 + 2 * SEGMENT_BYTES)
        worker.sleep(1)
        assert held(worker) == (100, 100 + 2 * SEGMENT_BYTES)
        worker.sleep(2)
        worker.wake_up()
        assert held(worker) == (100 + 2 * SEGMENT_BYTES, 100 + 2 * SEGMENT_BYTES)


def held(worker: SleepingGPUWorker) -> tuple[int, int]:
    report = worker.memory_held()
    return report["held_bytes"], report["awake_bytes"]


def test_an_engine_with_a_draft_model_does_not_park() -> None:
    with worker_on_a_device(1.5) as (worker, runner, _device):
        worker.vllm_config.speculative_config = object()
        worker.sleep(1)
        with pytest.raises(RuntimeError, match="draft"):
            worker.sleep(2)
        worker.wake_up()
        assert runner.reloads == 0


def test_pinned_memory_that_the_kernel_does_not_count_is_added() -> None:
    with worker_on_a_device(1.5) as (worker, _runner, device):
        assert isinstance(device, Device)
        assert worker.memory_held()["unseen_host_bytes"] == 0
        worker.sleep(1)
        # The copies are ordinary memory here, which the kernel counts.
        assert worker.memory_held()["unseen_host_bytes"] == 0
        assert worker._pinned_is_resident

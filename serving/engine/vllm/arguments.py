"""A registry entry and a host's settings, as vLLM's configuration."""

from pathlib import Path
from typing import Any

from vllm import AsyncEngineArgs
from vllm.config import VllmConfig
from vllm.usage.usage_lib import UsageContext

from serving.config import HostSettings, ModelSettings

_GIB = 1024**3
_CPU_WORKER = "serving.engine.vllm.cpu_worker.SleepingCPUWorker"
_CUDA_WORKER = "serving.engine.vllm.cuda_worker.SleepingGPUWorker"
_CPU_STEP_TOKENS = 128
"""Prompt tokens a step: measured in docs/coserving.md."""
_SCHEDULER = "serving.engine.vllm.scheduler.SteeredScheduler"
_CPU_SCHEDULER = "serving.engine.vllm.abandoning_scheduler.AbandoningScheduler"
"""With `_SCHEDULER` in its place no step is abandoned, and batch work sits out no prompt's step."""
_ASYNC_SCHEDULER = "serving.engine.vllm.scheduler.SteeredAsyncScheduler"


def engine_config(model: ModelSettings, host: HostSettings, checkpoint: Path) -> VllmConfig:
    """VLLM's configuration of an engine of `model` on `host`."""
    arguments: dict[str, Any] = {
        "model": str(checkpoint),
        "served_model_name": [model.name],
        "dtype": model.dtype,
        "max_model_len": model.max_model_len,
        "max_num_seqs": model.slots,
        "scheduling_policy": "priority",
        "kv_cache_memory_bytes": int(model.kv_cache_gib * _GIB),
        "enable_prefix_caching": True,
        "enable_log_requests": False,
        "disable_log_stats": True,
        **(_on_cpu(model) if host.accelerator == "cpu" else _on_cuda(model, host)),
        **model.engine_args,
    }
    config = AsyncEngineArgs(**arguments).create_engine_config(UsageContext.ENGINE_CONTEXT)
    # Only now it is settled whether steps are scheduled ahead.
    scheduling = config.scheduler_config
    scheduling.scheduler_cls = _ASYNC_SCHEDULER if scheduling.async_scheduling else _SCHEDULER
    if host.accelerator == "cpu":
        if not scheduling.async_scheduling:
            scheduling.scheduler_cls = _CPU_SCHEDULER
        # vLLM turns "uni" into "mp" on CPU because it sets OpenMP's environment for a new worker
        # process. Ours binds its threads itself, and saves a process an engine.
        config.parallel_config.distributed_executor_backend = "uni"
    return config


def _on_cpu(model: ModelSettings) -> dict[str, Any]:
    return {
        "enforce_eager": True,
        "worker_cls": _CPU_WORKER,
        "max_num_batched_tokens": max(_CPU_STEP_TOKENS, model.slots),
    }


def _on_cuda(model: ModelSettings, host: HostSettings) -> dict[str, Any]:
    devices = max(1, len(host.devices))
    return {
        # Its worker keeps a place for what is held, too.
        "max_num_seqs": 2 * model.slots,
        "enable_sleep_mode": True,
        "worker_cls": _CUDA_WORKER,
        # The KV cache has a size of its own, so this is only what vLLM wants to find free before it
        # starts: the other engines of the host hold memory too.
        "gpu_memory_utilization": 0.01,
        "tensor_parallel_size": devices,
        "distributed_executor_backend": "uni" if devices == 1 else "mp",
    }

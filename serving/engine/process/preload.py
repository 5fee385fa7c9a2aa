"""Imported by the warm process, once, before it forks anything: everything heavy.

Importing this module is its purpose, so unlike every other module it does work at import: it ties
the warm process to the light main, and each process forked from it to itself.
"""

import gc

from serving.engine.process.lifetime import die_with_parent, tie_forks

die_with_parent()
tie_forks()

# Millions of objects are made here and none is garbage: collecting only costs time, and touching
# them later would copy the pages that forked processes share.
gc.disable()

import uvicorn  # noqa: E402, F401
import vllm.model_executor.models.llama  # noqa: E402
import vllm.v1.engine.core  # noqa: E402
import vllm.v1.executor.uniproc_executor  # noqa: E402
from vllm.model_executor.layers.quantization import get_quantization_config  # noqa: E402
from vllm.platforms import current_platform  # noqa: E402
from vllm.plugins import load_general_plugins  # noqa: E402

# Both import a good deal when an engine first asks: each engine would have that for itself.
load_general_plugins()
get_quantization_config("fp8")

if current_platform.is_cuda():
    import torch
    import vllm.v1.worker.gpu.model_runner
    import vllm.v1.worker.gpu_model_runner
    import vllm.v1.worker.gpu_worker

    if torch.cuda.is_initialized():
        raise RuntimeError("an import made a CUDA context: no fork of this process could have one")
else:
    import vllm.v1.attention.backends.cpu_attn  # noqa: F401


gc.freeze()
gc.enable()

"""Imported by the warm process, once, before it forks anything: everything heavy.

Importing this module is its purpose, so unlike every other module it does work at import: it ties
the warm process to the light main, and each process forked from it to itself.
"""

import gc
import sys

from serving.engine.process.lifetime import die_with_parent, tie_forks

die_with_parent()
tie_forks()

# Millions of objects are made here and none is garbage: collecting only costs time, and touching
# them later would copy the pages that forked processes share.
gc.disable()

# The planner's. Where it is installed vLLM and transformers import it on the way, for audio and for
# training; no engine computes with it, and it takes 64 MB.
sys.modules["scipy"] = None  # type: ignore[assignment]

import uvicorn  # noqa: E402, F401
import vllm.model_executor.models.llama  # noqa: E402
import vllm.v1.engine.core  # noqa: E402
import vllm.v1.executor.uniproc_executor  # noqa: E402
from vllm.platforms import current_platform  # noqa: E402

import serving.engine.assembly  # noqa: E402
import serving.engine.vllm.engine  # noqa: E402, F401

if current_platform.is_cuda():
    import torch
    import vllm.v1.worker.gpu.model_runner
    import vllm.v1.worker.gpu_model_runner
    import vllm.v1.worker.gpu_worker

    if torch.cuda.is_initialized():
        raise RuntimeError("an import made a CUDA context: no fork of this process could have one")
else:
    import vllm.v1.worker.cpu_worker  # noqa: F401

del sys.modules["scipy"]
gc.freeze()
gc.enable()

"""Runs one engine through every tier and prints what was seen, a JSON line a step.

A process of its own, so that each run has the device to itself. Not a test module: the tests are in
`test_tiers.py`.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from vllm import LLM, SamplingParams
from vllm.compilation.counter import compilation_counter
from vllm.inputs import TokensPrompt

from serving.engine.memory import proportional_bytes
from serving.engine.vllm.device_use import DeviceUse

PROMPT = [504, 3575, 282, 4649, 314]
STEPS = ("awake", "sleep 1", "wake", "sleep 1", "sleep 2", "wake", "sleep 2", "wake")


def run(checkpoint: Path, worker: str, kv_cache_bytes: int) -> None:
    """Go through the steps, in order."""
    use = DeviceUse(os.environ.get("CUDA_VISIBLE_DEVICES"), 0)
    before_bytes = use.used_bytes()
    engine = LLM(
        model=str(checkpoint),
        worker_cls=worker,
        dtype="float32",
        max_model_len=512,
        max_num_seqs=4,
        kv_cache_memory_bytes=kv_cache_bytes,
        gpu_memory_utilization=0.01,
        enable_sleep_mode=True,
    )
    for step in STEPS:
        take(engine, step)
        awake = not step.startswith("sleep")
        seen = {
            "step": step,
            "tokens": tokens(engine) if awake else None,
            "graphs": compilation_counter.num_cudagraph_captured,
            "driver_bytes": use.used_bytes() - before_bytes,
            "host_bytes": proportional_bytes(os.getpid()),
            "memory": engine.collective_rpc("memory_held")[0],
        }
        print("seen " + json.dumps(seen), flush=True)


def take(engine: LLM, step: str) -> None:
    """What the engine host does to an engine, in the words of `VllmEngine`."""
    if step == "wake":
        engine.wake_up()
    elif step.startswith("sleep"):
        level = int(step[-1])
        if engine.llm_engine.is_sleeping():
            engine.collective_rpc("sleep", kwargs={"level": level})
        else:
            engine.sleep(level)


def tokens(engine: LLM) -> list[int]:
    """The greedy continuation."""
    sampling = SamplingParams(max_tokens=24, temperature=0.0, ignore_eos=True)
    prompt = TokensPrompt(prompt_token_ids=PROMPT)
    (output,) = engine.generate(prompt, sampling, use_tqdm=False)
    return list(output.outputs[0].token_ids)


def read(text: str) -> list[dict[str, Any]]:
    """The steps that a run printed."""
    lines = [line.removeprefix("seen ") for line in text.splitlines() if line.startswith("seen ")]
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))

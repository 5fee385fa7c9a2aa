"""An engine on a CUDA device through its tiers: memory freed and back, tokens and graphs kept."""

import os
import subprocess
import sys
from typing import Any

import pytest

from serving.config import ModelSettings, StateFolder
from serving.config.fleet import PackagedSource
from serving.weights import checkpoint_path
from tests.gpu import engine_cycle

pytestmark = pytest.mark.gpu

GIB = 1024**3
KV_CACHE_BYTES = 2 * GIB
WEIGHTS_BYTES = 500 * 10**6
"""The packaged model in float32 has 540 MB."""
SLACK_BYTES = GIB // 4
Steps = list[dict[str, Any]]


@pytest.fixture(scope="module")
def steps(prepared_state: StateFolder) -> Steps:
    """What one engine did, step by step."""
    model = ModelSettings(name="smollm2", source=PackagedSource(kind="packaged"))
    checkpoint = checkpoint_path(model, prepared_state)
    worker = "serving.engine.vllm.cuda_worker.SleepingGPUWorker"
    ended = subprocess.run(
        [sys.executable, "-m", engine_cycle.__name__, checkpoint, worker, str(KV_CACHE_BYTES)],
        env={**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "0"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    seen = engine_cycle.read(ended.stdout)
    assert len(seen) == len(engine_cycle.STEPS), ended.stderr[-3000:]
    return seen


def awake(steps: Steps) -> Steps:
    return [step for step in steps if step["tokens"] is not None]


def asleep(steps: Steps) -> Steps:
    return [step for step in steps if step["tokens"] is None]


def test_it_gives_the_same_tokens_after_every_tier(steps: Steps) -> None:
    first, *later = awake(steps)
    assert len(later) == 3
    assert [step["tokens"] for step in later] == [first["tokens"]] * 3


def test_its_graphs_are_captured_once(steps: Steps) -> None:
    captured = {step["graphs"] for step in steps}
    assert len(captured) == 1
    assert captured.pop() > 0, "without graphs this test says nothing"


def test_both_levels_give_weights_and_cache_back_to_the_device(steps: Steps) -> None:
    awake_bytes = awake(steps)[0]["driver_bytes"]
    for step in asleep(steps):
        assert awake_bytes - step["driver_bytes"] > KV_CACHE_BYTES + WEIGHTS_BYTES - SLACK_BYTES


def test_an_engine_that_woke_holds_what_it_held_before(steps: Steps) -> None:
    first, *later = awake(steps)
    for step in later:
        assert abs(step["driver_bytes"] - first["driver_bytes"]) < SLACK_BYTES


def test_what_it_says_it_holds_is_what_the_driver_says(steps: Steps) -> None:
    for step in steps:
        assert abs(step["memory"]["held_bytes"] - step["driver_bytes"]) < 2 * SLACK_BYTES


def test_what_it_will_hold_awake_is_known_while_it_sleeps(steps: Steps) -> None:
    held = [step["memory"]["held_bytes"] for step in awake(steps)]
    for step in asleep(steps):
        assert abs(step["memory"]["awake_bytes"] - held[0]) < SLACK_BYTES


def test_a_parked_engine_gives_back_the_host_ram_of_its_weights(steps: Steps) -> None:
    position = next(n for n, step in enumerate(steps) if step["step"] == "sleep 2")
    kept, dropped = steps[position - 1], steps[position]
    assert (kept["step"], dropped["step"]) == ("sleep 1", "sleep 2")
    assert host_bytes(kept) - host_bytes(dropped) > WEIGHTS_BYTES - SLACK_BYTES


def host_bytes(step: dict[str, Any]) -> int:
    return int(step["host_bytes"]) + int(step["memory"]["unseen_host_bytes"])

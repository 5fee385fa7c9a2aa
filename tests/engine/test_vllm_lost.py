"""An engine core that fails: when its engine counts as lost."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from vllm.v1.engine.exceptions import EngineDeadError

from serving.engine.protocol import EngineFailed
from serving.engine.vllm.engine import VllmEngine
from serving.wire import GenerateRequest, SamplingSpec
from tests.fakes.host import fake_fleet

REQUEST = GenerateRequest(
    request_id="r",
    model="m",
    request_class="batch",
    prompt_token_ids=[1, 2],
    sampling=SamplingSpec(max_tokens=3),
)


class FailedCore:
    """vLLM's client of a core that failed, whose process has yet to end."""

    asked = 0

    async def generate(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        self.asked += 1
        raise EngineDeadError
        yield


class Process:
    pid = None
    killed = False

    def kill(self) -> None:
        self.killed = True


async def test_an_engine_whose_core_failed_is_lost_at_once_and_asked_no_more() -> None:
    fleet = fake_fleet(["m"], {"host-0": "m"})
    engine = VllmEngine(fleet.model("m"), fleet.host("host-0"), lambda: pytest.fail("not read"))
    core, process = FailedCore(), Process()
    engine._llm = core  # type: ignore[assignment]
    engine._processes.started.append(process)  # type: ignore[arg-type]

    for why in ("its core failed", "it has no process"):
        with pytest.raises(EngineFailed, match=why):
            _ = [output async for output in engine.generate("key", REQUEST)]

    assert await engine.lost() == "its core failed"
    assert (core.asked, process.killed) == (1, True)

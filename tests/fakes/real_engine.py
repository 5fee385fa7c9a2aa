"""Runs one real vLLM engine without a host: its process is forked from a fresh server process."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from multiprocessing import get_context
from typing import Any

import vllm.v1.engine.utils

from serving.config import HostSettings, ModelSettings, StateFolder
from serving.engine.process import context
from serving.engine.protocol import EngineOutput
from serving.engine.vllm.engine import VllmEngine
from serving.weights import hold
from serving.wire import Tokens
from tests.fakes.generate import generate_request


@contextmanager
def forked_from_a_fresh_server() -> Iterator[None]:
    """Inside, engines are started as on a host, but for the warm process: there is none."""
    before = vllm.v1.engine.utils.get_mp_context
    # As `use_warm_process`, but multiprocessing may start its server.
    vllm.v1.engine.utils.get_mp_context = lambda: context._current.get(get_context("forkserver"))
    try:
        yield
    finally:
        vllm.v1.engine.utils.get_mp_context = before


@asynccontextmanager
async def real_engine(**model: Any) -> AsyncIterator[VllmEngine]:
    """A started engine of the packaged model."""
    settings = ModelSettings.model_validate({"name": "m", "source": {"kind": "packaged"}, **model})
    host = HostSettings(name="host-0", port=1, cpu_cores="0")
    engine = VllmEngine(
        settings, host, lambda: hold(settings, StateFolder.default(), lambda _text: None)
    )
    with forked_from_a_fresh_server():
        try:
            await engine.start()
            yield engine
        finally:
            await engine.stop()


class Generation:
    """One generation, read token by token or to its end."""

    def __init__(self, engine: VllmEngine, key: str, prompt: list[int], **fields: Any) -> None:
        self.key = key
        request = generate_request(key, "m", prompt=prompt, **fields)
        self.outputs: AsyncIterator[EngineOutput] = engine.generate(key, request)
        self.tokens: list[int] = []

    async def until(self, count: int) -> None:
        """Read until it has at least `count` tokens."""
        while len(self.tokens) < count:
            self._take(await anext(self.outputs))

    async def end(self) -> list[int]:
        """Read to its end: all its tokens."""
        async for output in self.outputs:
            self._take(output)
        return self.tokens

    def _take(self, output: EngineOutput) -> None:
        if isinstance(output, Tokens):
            self.tokens += output.token_ids

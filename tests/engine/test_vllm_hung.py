"""A real engine whose process is stopped hangs: it is found, killed, and started anew.

Its watch counts only as the test has it count, so nothing here depends on how fast anything is.
"""

import asyncio
import signal
from collections.abc import Callable

import psutil
import pytest

from serving.config import HostSettings, ModelSettings, StateFolder
from serving.engine.decisions.silence import Hung, Patience
from serving.engine.engines import Engines
from serving.engine.protocol import EngineFailed
from serving.engine.vigil import Vigil
from serving.engine.vllm.engine import VllmEngine
from serving.weights import hold
from serving.wire import Finished, Tokens
from tests.fakes.generate import generate_request
from tests.fakes.real_engine import forked_from_a_fresh_server

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

MODEL = ModelSettings.model_validate(
    {"name": "m", "source": {"kind": "packaged"}, "max_model_len": 8192, "kv_cache_gib": 0.25}
)
ENDLESS_TOKENS = 8000
"""Many times more than come before the engine is stopped."""


class Watched:
    """The engines of a host with one model, and what became of them."""

    def __init__(self) -> None:
        self.hung: list[Hung] = []
        self.lost: asyncio.Queue[str] = asyncio.Queue()
        self.made: list[VllmEngine] = []
        self.vigil = Vigil(Patience(), self.hung.append)
        self.engines = Engines(
            [MODEL],
            self._make,
            on_lost=lambda _model, reason: self.lost.put_nowait(reason),
            vigil=self.vigil,
        )

    def _make(self, model: ModelSettings) -> VllmEngine:
        host = HostSettings(name="host-0", port=1, cpu_cores="0")
        engine = VllmEngine(model, host, lambda: hold(model, StateFolder.default(), _say_nothing))
        self.made.append(engine)
        return engine

    def core(self) -> psutil.Process:
        """The process of the newest engine."""
        (process,) = self.made[-1]._processes.started
        return psutil.Process(process.pid)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the watch count until something has come of it."""
        for _ in range(10_000):
            if condition():
                return
            self.vigil.tick()
            await asyncio.sleep(0)
        raise AssertionError("the watch counted for hours and did nothing")


def _say_nothing(_sentence: str) -> None:
    """Progress is of no interest here."""


async def generate_and_stop(watched: Watched, stopped: asyncio.Event) -> None:
    """Generate for as long as the engine does, which is stopped at the first token."""
    request = generate_request("r", "m", max_tokens=ENDLESS_TOKENS)
    async for output in watched.engines.generate("m", "r", request):
        if isinstance(output, Tokens) and not stopped.is_set():
            watched.core().send_signal(signal.SIGSTOP)
            stopped.set()


async def test_a_stopped_engine_core_is_killed_and_its_model_is_started_anew() -> None:
    """And a command that it has been given ends with it."""
    watched = Watched()
    with forked_from_a_fresh_server():
        try:
            await watched.engines.wake("m")
            first, stopped = watched.core(), asyncio.Event()
            generation = asyncio.create_task(generate_and_stop(watched, stopped))
            await stopped.wait()
            await watched.until(lambda: bool(watched.hung))
            with pytest.raises(EngineFailed, match="it answered nothing for 60 s"):
                await generation
            assert "it answered nothing for 60 s" in await watched.lost.get()
            assert not first.is_running() or first.status() == psutil.STATUS_ZOMBIE

            await watched.engines.wake("m")
            request = generate_request("again", "m")
            outputs = [o async for o in watched.engines.generate("m", "again", request)]
            assert outputs[-1] == Finished("length")

            watched.core().send_signal(signal.SIGSTOP)
            asleep = asyncio.create_task(watched.made[-1].sleep(1))
            await asyncio.sleep(0)
            await watched.made[-1].kill("the test has had enough")
            with pytest.raises(EngineFailed, match="the test has had enough"):
                await asleep
        finally:
            await watched.engines.stop_all()
    assert [hung.doing for hung in watched.hung] == ["answer"]

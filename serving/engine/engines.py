"""The engines of one host, by model: starts, sleeps, wakes, checks and stops them as told.

Performs single steps and keeps each engine to one step at a time. Which step comes when is
decided in `serving.engine.decisions`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager

import structlog

from serving.config import ModelSettings
from serving.engine.decisions.holdings import gib
from serving.engine.protocol import (
    DeviceMemory,
    Engine,
    EngineFactory,
    EngineFailed,
    EngineOutput,
    SleepLevel,
    Steering,
    Weights,
)
from serving.engine.vigil import Vigil
from serving.wire import GenerateRequest, SamplingSpec, Tier, Tokens

_CANARY_PROMPT = [11, 23, 42, 57, 101, 77, 19, 5]
_CANARY_LIMIT_S = 60.0

log = structlog.get_logger(__name__)


class WeightsAlwaysThere:
    """Of a host whose engines need none from its disk."""

    def present(self, model: str) -> bool:
        """Yes."""
        return True

    def prepare(self, model: str) -> None:
        """Nothing is missing."""


class Engines:
    """Every engine on this host.

    `on_lost(model, reason)` is called when one dies by itself, or is ended by `vigil`.
    """

    def __init__(
        self,
        models: Iterable[ModelSettings],
        factory: EngineFactory,
        *,
        on_lost: Callable[[str, str], None],
        vigil: Vigil,
        weights: Weights | None = None,
    ) -> None:
        self._models = {model.name: model for model in models}
        self._factory = factory
        self._weights = weights or WeightsAlwaysThere()
        self._on_lost, self._vigil = on_lost, vigil
        self._engines: dict[str, Engine] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._locks = {name: asyncio.Lock() for name in self._models}
        self._canaries: dict[str, list[int]] = {}

    @asynccontextmanager
    async def _alone_with(self, model: str) -> AsyncIterator[Engine | None]:
        async with self._locks[model]:
            yield self._engines.get(model)

    async def fetch(self, model: str) -> None:
        """Have the weights of `model` on disk. Raises WeightsError."""
        async with self._alone_with(model):
            await asyncio.to_thread(self._weights.prepare, model)

    async def wake(self, model: str) -> None:
        """Wake the engine of `model`; start it first if it has no process."""
        async with self._alone_with(model) as engine:
            if engine is None:
                await self._start(model)
            else:
                await self._wake(model, engine)

    async def sleep(self, model: str, level: SleepLevel, at_most_bytes: int | None = None) -> None:
        """Put the engine of `model` to sleep; EngineFailed if it then holds more than that."""
        async with self._alone_with(model) as engine:
            if engine is None:
                raise self._gone(model)
            await self._sleep(model, engine, level)
            await self._check_memory(model, engine, at_most_bytes)

    async def check(self, model: str, at_most_bytes: int | None = None) -> None:
        """One greedy token must be the one this model gave when it was first loaded.

        And the engine must not hold more than `at_most_bytes`.
        """
        async with self._alone_with(model) as engine:
            if engine is None:
                raise self._gone(model)
            await self._canary(model, engine)
            await self._check_memory(model, engine, at_most_bytes)

    async def stop(self, model: str) -> None:
        """End the engine's processes, if it has any."""
        async with self._alone_with(model):
            await self._stop(model)

    async def move(
        self, model: str, tier: Tier, moved: Callable[[], None], at_most_bytes: int | None = None
    ) -> None:
        """Bring an engine that is not awake to `tier`; one that does not get there is stopped.

        So is one that holds more than `at_most_bytes` there. `moved` is called before anyone else
        may use the engine.
        """
        async with self._alone_with(model) as engine:
            try:
                await self._moved_to(tier, model, engine)
                if (there := self._engines.get(model)) is not None:
                    await self._check_memory(model, there, at_most_bytes)
            except BaseException:
                await self._stop(model)
                raise
            moved()

    async def _moved_to(self, tier: Tier, model: str, engine: Engine | None) -> None:
        if tier == "disk":
            await self._stop(model)
            await asyncio.to_thread(self._weights.prepare, model)
        elif tier == "parked" and engine is not None:
            await self._sleep(model, engine, 2)
        else:
            engine = await self._load(model, engine)
            await self._sleep(model, engine, 1 if tier == "asleep" else 2)

    async def _load(self, model: str, engine: Engine | None) -> Engine:
        """Have the weights, and know that they are good."""
        if engine is None:
            engine = await self._start(model)
        else:
            await self._wake(model, engine)
        await self._canary(model, engine)
        return engine

    async def stop_all(self) -> None:
        """End every engine's processes, without waiting for steps in progress."""
        await asyncio.gather(*(self._stop(model) for model in list(self._engines)))

    def generate(
        self, model: str, key: str, request: GenerateRequest
    ) -> AsyncIterator[EngineOutput]:
        """The awake engine's stream for this request."""
        engine = self._engines.get(model)
        if engine is None:
            raise self._gone(model)
        return engine.generate(key, request)

    async def steer(self, model: str, steering: Steering) -> None:
        """Hold the scheduler of `model` to `steering`; without a process it holds nothing."""
        engine = self._engines.get(model)
        if engine is not None:
            await engine.steer(steering)

    def abandoned_steps(self) -> dict[str, int]:
        """Steps that each engine with a process gave up for interactive requests, so far."""
        return {model: engine.abandoned_steps() for model, engine in self._engines.items()}

    def memory_bytes(self) -> dict[str, int]:
        """What each engine with a process holds of host RAM."""
        return {model: engine.memory_bytes() for model, engine in list(self._engines.items())}

    def device_memory(self) -> dict[str, DeviceMemory]:
        """What each engine with a process holds of the device's own memory."""
        return {model: engine.device_memory() for model, engine in list(self._engines.items())}

    def present(self) -> frozenset[str]:
        """The models whose weights are on disk."""
        return frozenset(model for model in self._models if self._weights.present(model))

    def resting_tier(self, model: str) -> Tier:
        """Where `model` is without a process."""
        return "disk" if self._weights.present(model) else "absent"

    async def _check_memory(self, model: str, engine: Engine, at_most_bytes: int | None) -> None:
        """The engine must not hold more; None: nothing is known of what it should."""
        if at_most_bytes is None:
            return
        held_bytes = await asyncio.to_thread(engine.memory_bytes)
        if held_bytes > at_most_bytes:
            raise EngineFailed(
                f"it holds {gib(held_bytes)}, at most {gib(at_most_bytes)} were expected",
                where=f"engine of {model}",
                fix="Its host stops it; look for what else grew on this machine.",
            )

    async def _wake(self, model: str, engine: Engine) -> None:
        async with self._vigil.over("wake", model, engine):
            await engine.wake()

    async def _sleep(self, model: str, engine: Engine, level: SleepLevel) -> None:
        async with self._vigil.over("sleep", model, engine):
            await engine.sleep(level)

    async def _start(self, model: str) -> Engine:
        # However long it takes to download them, it is no silence of the engine's.
        await asyncio.to_thread(self._weights.prepare, model)
        engine = self._factory(self._models[model])
        self._engines[model] = engine
        try:
            async with self._vigil.over("start", model, engine):
                await engine.start()
        except BaseException:
            await self._stop(model)
            raise
        self._watches[model] = asyncio.create_task(self._watch(model, engine))
        return engine

    async def _stop(self, model: str) -> None:
        engine = self._engines.pop(model, None)
        watch = self._watches.pop(model, None)
        self._vigil.gone(model)
        if watch is not None:
            watch.cancel()
        if engine is not None:
            await engine.stop()

    async def _watch(self, model: str, engine: Engine) -> None:
        reason = await engine.lost()
        if self._engines.get(model) is not engine:
            return
        log.warning("engine lost", model=model, reason=reason)
        del self._engines[model]
        self._watches.pop(model, None)
        self._vigil.gone(model)
        self._on_lost(model, reason)
        await engine.stop()

    async def _canary(self, model: str, engine: Engine) -> None:
        request = GenerateRequest(
            request_id="canary",
            model=model,
            request_class="interactive",
            prompt_token_ids=_CANARY_PROMPT,
            sampling=SamplingSpec(max_tokens=1, temperature=0.0, ignore_eos=True),
        )
        tokens: list[int] = []
        async with (
            asyncio.timeout(_CANARY_LIMIT_S),
            aclosing(
                engine.generate("canary", request)  # type: ignore[type-var] # engines give generators
            ) as outputs,
        ):
            async for output in outputs:
                if isinstance(output, Tokens):
                    tokens += output.token_ids
        expected = self._canaries.setdefault(model, tokens)
        if not tokens or tokens != expected:
            raise EngineFailed(
                f"the canary gave {tokens}, at first load it gave {expected}",
                where=f"engine of {model}",
                fix="Its weights may be damaged: prepare them again.",
            )

    def _gone(self, model: str) -> EngineFailed:
        return EngineFailed(
            "it has no process", where=f"engine of {model}", fix="It is started again on demand."
        )

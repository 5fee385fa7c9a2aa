"""A deterministic engine for tests: the real host runs over it as over vLLM's.

Token i is a pure function of the model's name, the prompt and the tokens before it, so a resume
of prompt + tokens continues exactly as if nothing had happened.
"""

import asyncio
import threading
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Literal

from serving.config import ModelSettings
from serving.engine.protocol import DeviceMemory, EngineFailed, EngineOutput, SleepLevel, Steering
from serving.wire import Finished, GenerateRequest, TokenLogprobs, Tokens

FIRST_TOKEN, TOKEN_SPAN = 1000, 20000
Step = Literal["start", "wake", "sleep", "canary"]


def next_token(model: str, prompt: list[int], so_far: list[int]) -> int:
    """The token a fake engine of `model` gives after `prompt` and `so_far`."""
    text = f"{model}|{prompt}|{so_far}".encode()
    return FIRST_TOKEN + zlib.crc32(text) % TOKEN_SPAN


def expected_tokens(model: str, prompt: list[int], n: int) -> list[int]:
    """The first `n` tokens of an undisturbed generation."""
    tokens: list[int] = []
    for _ in range(n):
        tokens.append(next_token(model, prompt, tokens))
    return tokens


class Gate:
    """Lets tokens through: all, none, or a counted number. Set from any thread."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._left: int | None = None

    def close(self) -> None:
        """Hold every token back from now on."""
        with self._condition:
            self._left = 0

    def open(self) -> None:
        """Let all tokens through."""
        with self._condition:
            self._left = None

    def let(self, tokens: int) -> None:
        """Let `tokens` more through (the gate must be closed, or it closes after them)."""
        with self._condition:
            self._left = (self._left or 0) + tokens

    def spent(self) -> bool:
        """Whether it is closed, and every token it let through has passed."""
        with self._condition:
            return self._left == 0

    def take(self) -> bool:
        """Take one token's leave to pass, if there is one."""
        with self._condition:
            if self._left is None:
                return True
            if self._left == 0:
                return False
            self._left -= 1
            return True


@dataclass
class FakeEngines:
    """Makes the fake engines of a host and steers them. Every field may be set at any time.

    `gate` holds tokens back (the canary's are never held). `delay_s` is the time of one token.
    `fail_next[(model, step)] = "why"` makes that step fail once (`fail_always`: every time).
    `answer` replaces the token function: it gives the whole output for a request's prompt, and
    the generation stops by "stop" at its end.
    """

    delay_s: float = 0.001
    start_s: float = 0.0
    gate: Gate = field(default_factory=Gate)
    fail_next: dict[tuple[str, Step], str] = field(default_factory=dict)
    fail_always: dict[tuple[str, Step], str] = field(default_factory=dict)
    kill_in: dict[tuple[str, Step], Literal["before", "after"]] = field(default_factory=dict)
    """Steps in which the engine dies, once: before it did what it was told, or just after."""
    hang_in: set[tuple[str, Step]] = field(default_factory=set)
    """Steps in which the engine hangs, once: it does nothing more until it is killed."""
    canary_shift: dict[str, int] = field(default_factory=dict)
    """Added to a model's canary token, as damaged weights would."""
    answer: Callable[[GenerateRequest], list[int]] | None = None
    asleep_bytes: dict[str, int] = field(default_factory=dict)
    """What an engine of a model holds: in every condition, but for what `holds` says."""
    device_bytes: dict[str, int] = field(default_factory=dict)
    """What an awake engine holds of a device, by model."""
    holds: dict[tuple[str, str], int] = field(default_factory=dict)
    """What an engine of a model holds in a condition."""
    abandoned_steps: int = 0
    """What every engine says."""
    alive: dict[str, "FakeEngine"] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)
    """(model, step) in order of what was asked of the engines."""

    def __call__(self, model: ModelSettings) -> "FakeEngine":
        engine = FakeEngine(model, self)
        self.alive[model.name] = engine
        return engine

    def kill(self, model: str) -> None:
        """Let the engine of `model` die, as by kill -9."""
        self.alive[model].die("killed by the test")

    def hang(self, model: str) -> None:
        """From now on the engine of `model` does nothing, as after SIGSTOP."""
        self.alive[model].hangs = True

    def awake(self) -> list[str]:
        """The models whose engines are awake now."""
        return [name for name, engine in self.alive.items() if engine.condition == "awake"]

    def check(self, model: str, step: Step) -> None:
        """Note the step; raise if the test asked for its failure."""
        self.log.append((model, step))
        why = self.fail_next.pop((model, step), None) or self.fail_always.get((model, step))
        if why is not None:
            raise EngineFailed(why, where=f"fake engine of {model}", fix="The test asked for it.")


class FakeEngine:
    """One fake engine; see FakeEngines for how a test steers it."""

    def __init__(self, model: ModelSettings, controls: FakeEngines) -> None:
        self.model = model
        self.controls = controls
        self.condition: Literal["new", "awake", "asleep", "parked", "stopped", "dead"] = "new"
        self.running: set[str] = set()
        self.hangs = False
        self.died_of = ""
        self.steering = Steering()
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()

    async def start(self) -> None:
        began = self._loop.time()
        # A test's thread may make `start_s` less meanwhile, so there is no one event to wait for.
        while (left_s := began + self.controls.start_s - self._loop.time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left_s, 0.01))
        await self._stuck("start")
        self._step("start")
        self.condition = "awake"
        self._done("start")

    async def sleep(self, level: SleepLevel) -> None:
        assert not self.running, "an engine was put to sleep with generations running"
        await self._stuck("sleep")
        self._step("sleep")
        self.condition = "asleep" if level == 1 else "parked"
        self._done("sleep")

    async def wake(self) -> None:
        await self._stuck("wake")
        self._step("wake")
        self.condition = "awake"
        self._done("wake")

    async def stop(self) -> None:
        if self.controls.alive.get(self.model.name) is self:
            del self.controls.alive[self.model.name]
        self.hangs = False
        if self.condition != "dead":
            self.condition = "stopped"

    async def lost(self) -> str:
        return await asyncio.shield(self._lost)

    async def pulse(self) -> None:
        await self._stuck()

    async def kill(self, why: str) -> None:
        self.hangs = False
        self._die(why)

    async def steer(self, steering: Steering) -> None:
        await self._stuck()
        self.steering = steering

    def abandoned_steps(self) -> int:
        return self.controls.abandoned_steps

    def memory_bytes(self) -> int:
        controls, name = self.controls, self.model.name
        return controls.holds.get((name, self.condition), controls.asleep_bytes.get(name, 1))

    def device_memory(self) -> DeviceMemory:
        awake = self.controls.device_bytes.get(self.model.name, 0)
        return DeviceMemory(awake if self.condition == "awake" else 0, awake)

    def die(self, reason: str) -> None:
        self._loop.call_soon_threadsafe(self._die, reason)

    def _die(self, reason: str) -> None:
        self.condition, self.died_of = "dead", reason
        if not self._lost.done():
            self._lost.set_result(reason)

    async def generate(self, key: str, request: GenerateRequest) -> AsyncIterator[EngineOutput]:
        if self.condition != "awake":
            raise self._failure(f"asked to generate while {self.condition}")
        if key == "canary":
            self._step("canary")
            shift = self.controls.canary_shift.get(self.model.name, 0)
            yield Tokens([next_token(self.model.name, request.prompt_token_ids, []) + shift])
            yield Finished("length")
            self._done("canary")
            return
        self.running.add(key)
        computing = self.running - self.steering.held
        assert len(computing) <= self.model.slots, "more generations than slots"
        try:
            async for output in self._outputs(key, request):
                yield output
        finally:
            self.running.discard(key)

    async def _outputs(self, key: str, request: GenerateRequest) -> AsyncIterator[EngineOutput]:
        sampling, tokens = request.sampling, list(request.resumed_token_ids)
        script = self.controls.answer(request) if self.controls.answer else None
        first = True
        while len(tokens) < sampling.max_tokens:
            if script is not None and len(tokens) >= len(script):
                yield Finished("stop")
                return
            await self._turn(key)
            token = (
                next_token(self.model.name, request.prompt_token_ids, tokens)
                if script is None
                else script[len(tokens)]
            )
            tokens.append(token)
            yield self._tokens(request, token, first=first)
            first = False
            if token in sampling.stop_token_ids and len(tokens) > sampling.min_tokens:
                yield Finished("stop", stop_token_id=token)
                return
        yield Finished("length")

    async def _turn(self, key: str) -> None:
        """Wait until the next token may come."""
        await asyncio.sleep(self.controls.delay_s)
        await self._stuck()
        while key in self.steering.held or not self.controls.gate.take():
            self._alive()
            await asyncio.sleep(0.002)
        self._alive()

    async def _stuck(self, step: Step | None = None) -> None:
        """Stay here for as long as the engine hangs, which it may from this step on."""
        if step is not None and (self.model.name, step) in self.controls.hang_in:
            self.controls.hang_in.remove((self.model.name, step))
            self.hangs = True
        while self.hangs:  # noqa: ASYNC110 - a test's thread may set it
            await asyncio.sleep(0.002)
        self._alive()

    def _alive(self) -> None:
        if self.condition == "dead":
            raise self._failure(f"the engine died: {self.died_of}")

    def _tokens(self, request: GenerateRequest, token: int, *, first: bool) -> Tokens:
        n = request.sampling.logprobs
        logprobs = None if n is None else [fake_logprobs(token, n)]
        prompt_logprobs = None
        if first and request.sampling.prompt_logprobs is not None:
            rest = request.prompt_token_ids[1:]
            prompt_logprobs = [
                None,
                *(fake_logprobs(t, request.sampling.prompt_logprobs) for t in rest),
            ]
        return Tokens(
            [token],
            logprobs=logprobs,
            prompt_logprobs=prompt_logprobs,
            cached_tokens=0 if first else None,
        )

    def _step(self, step: Step) -> None:
        if self.controls.kill_in.get((self.model.name, step)) == "before":
            self._done(step)
        self._alive()
        self.controls.check(self.model.name, step)

    def _done(self, step: Step) -> None:
        if self.controls.kill_in.pop((self.model.name, step), None) is not None:
            self._die(f"killed in {step} by the test")

    def _failure(self, what: str) -> EngineFailed:
        return EngineFailed(what, where=f"fake engine of {self.model.name}", fix="Nothing to mend.")


def fake_logprobs(token: int, n: int) -> TokenLogprobs:
    """The sampled token first and most likely, then `n` others."""
    others = [FIRST_TOKEN + (token + i) % TOKEN_SPAN for i in range(1, n + 1)]
    return TokenLogprobs([token, *others], [-0.1 * (i + 1) for i in range(n + 1)], 1)

"""What an engine host needs of an engine: the seam between its decisions and vLLM.

The vLLM engine (`serving.engine.vllm`) and the tests' deterministic one implement it. Nothing
here decides when an engine sleeps or which request it runs.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from serving.config import ModelSettings
from serving.errors import HostError
from serving.wire import Finished, GenerateRequest, Tokens

SleepLevel = Literal[1, 2]
"""1 keeps the weights in host RAM, 2 drops them; both free the KV cache."""

EngineOutput = Tokens | Finished


class EngineFailed(HostError):
    """An engine did not do what it was told, or died."""


class RequestRefused(HostError):
    """The engine cannot take this request, and no other replica of the model could."""


@dataclass(frozen=True)
class Steering:
    """What an engine's scheduler is held to, from its next step on; replaces the last one whole."""

    held: frozenset[str] = frozenset()
    """Generations (by key) that take no part in steps. They keep their KV cache while it is not
    needed by others."""
    batch_prefill_tokens: int | None = None
    """At most so many prompt tokens of batch generations a step; None: the engine's own limit."""


@dataclass(frozen=True)
class DeviceMemory:
    """What an engine holds of its device's own memory; of a group, on each device."""

    held_bytes: int = 0
    """Now; an engine that sleeps still has its context."""
    awake_bytes: int = 0
    """When it is awake."""


class Engine(Protocol):
    """One engine of one model. Its host calls one of start, sleep, wake, stop at a time."""

    async def start(self) -> None:
        """Load the weights and be awake. Raises EngineFailed."""

    async def sleep(self, level: SleepLevel) -> None:
        """Free the KV cache, at level 2 also the weights. No generation is running."""

    async def wake(self) -> None:
        """Be able to generate again, from either level."""

    async def stop(self) -> None:
        """End the engine's processes, in bounded time, whatever state it is in."""

    async def pulse(self) -> None:
        """Return when the engine has answered, between two of its steps. Raises EngineFailed."""

    async def kill(self, why: str) -> None:
        """End its processes by force, in bounded time, whatever they do: it is lost, for `why`.

        A command that it carries out fails.
        """

    async def lost(self) -> str:
        """Return, with the reason, when the engine has died without being stopped."""

    def generate(self, key: str, request: GenerateRequest) -> AsyncIterator[EngineOutput]:
        """Tokens as they come, then one Finished.

        Closing the iterator, or cancelling the task that reads it, aborts the generation.
        `key` is unique on this host. Raises EngineFailed when the engine dies and RequestRefused
        when the request cannot be run.
        """

    async def steer(self, steering: Steering) -> None:
        """Hold the scheduler to `steering`. Keys it does not know are ignored."""

    def abandoned_steps(self) -> int:
        """Steps given up for interactive requests since its process started; told when steered."""

    def memory_bytes(self) -> int:
        """Host RAM that the engine's processes hold, what they share with others by share."""

    def device_memory(self) -> DeviceMemory:
        """What it holds on its accelerator; nothing where that has no memory of its own."""


class Weights(Protocol):
    """The weights of a host's models on its disk."""

    def present(self, model: str) -> bool:
        """Whether they are there. Cheap."""

    def prepare(self, model: str) -> None:
        """Have them there; takes as long as it takes. Raises WeightsError."""


EngineFactory = Callable[[ModelSettings], Engine]

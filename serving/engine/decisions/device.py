"""The device's memory: what each engine was measured to hold of it, and whether one more may wake.

Only for accelerators with memory of their own. What engines hold of host RAM, and which one gives
way, is decided in `residency`. Pure.
"""

from collections.abc import Mapping

from serving.engine.decisions.holdings import gib
from serving.engine.protocol import DeviceMemory


class DeviceBudget:
    """What the engines of a host may hold of each of its devices, asleep ones included.

    Without `budget_bytes` one engine at a time has the device: whether two fit is not known.
    """

    def __init__(self, budget_bytes: int | None) -> None:
        self._budget_bytes = budget_bytes
        self._held: dict[str, int] = {}
        """By model, now. An engine that sleeps still has its context on the device."""
        self._awake: dict[str, int] = {}
        """By model, awake; kept when its engine has ended."""

    def measured(self, engines: Mapping[str, DeviceMemory]) -> None:
        """Take over what every engine with a process holds."""
        self._held = {model: memory.held_bytes for model, memory in engines.items()}
        self._awake |= {model: memory.awake_bytes for model, memory in engines.items()}

    def loads_beside(self) -> bool:
        """Whether a model may be loaded while another one is awake."""
        return self._budget_bytes is not None

    def fits(self, model: str) -> bool:
        """Whether `model` may wake beside all the others. What was never loaded does not fit."""
        return model in self._awake and self.shortage(model) is None

    def shortage(self, model: str) -> str | None:
        """Why `model` cannot be on the device beside the others; None: there is room.

        A model never loaded here is taken to be as large as the largest one known.
        """
        if self._budget_bytes is None:
            return f"{model} cannot be loaded while another model has the device"
        needed = self._awake.get(model, max(self._awake.values(), default=0))
        free = self._budget_bytes - self._total_bytes(besides=model)
        if needed <= free:
            return None
        return (
            f"{model} needs {gib(needed)} of the device, "
            f"{gib(max(free, 0))} of {gib(self._budget_bytes)} are free"
        )

    def over(self) -> bool:
        """Whether the engines hold more than they may: an idle one must end its process."""
        return self._budget_bytes is not None and self._total_bytes() > self._budget_bytes

    def _total_bytes(self, besides: str | None = None) -> int:
        return sum(size for model, size in self._held.items() if model != besides)

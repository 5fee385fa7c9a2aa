"""What the decisions need to know of a model, and the caps learned of each: one loop a model."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from serving.engine.decisions import effects as fx
from serving.engine.decisions import events as ev
from serving.engine.decisions.admission import Place, PromptBudget
from serving.engine.decisions.cap import CapLoop
from serving.engine.decisions.curve import assumed, measured
from serving.wire import BatchSizeProfile

CPU_PROMPTS = PromptBudget(beside_interactive=8, alone=64)
"""Measured in docs/coserving.md: a prompt token adds 0.65 ms to a step of 20 to 60 ms. Alone, as
many as keep every slot generating: 32 slots of rows with 150 prompt tokens and 110 of output ask
for 41 a step. An interactive request hardly waits for them: such a step is abandoned for it."""
CUDA_PROMPTS = PromptBudget(beside_interactive=256, alone=2048)
"""Not measured: a share of the 8192 tokens that vLLM computes in a step by itself."""


@dataclass(frozen=True)
class Limits:
    """What the decisions need to know of a model."""

    slots: int
    interactive_cap: int
    """The first one, unless there is a profile."""
    kv_cache_bytes: int = 0
    tpot_s: float = 0.1
    """The service level that the cap follows."""
    prompts: PromptBudget = CPU_PROMPTS


class Caps:
    """The interactive caps of a host's models; what was learned stays over hotswaps."""

    def __init__(
        self, models: Mapping[str, Limits], profiles: Iterable[BatchSizeProfile] = ()
    ) -> None:
        self._models = dict(models)
        self._loops = {name: _first_loop(limits) for name, limits in models.items()}
        self._followed: dict[str, BatchSizeProfile] = {}
        for profile in profiles:
            if profile.model in self._loops:
                self._follow(profile)

    def place(self, model: str) -> Place:
        """What admission has to know of `model`."""
        limits = self._models[model]
        return Place(model, limits.slots, self._loops[model], limits.prompts)

    def profiled(self, event: ev.Profiled) -> list[fx.Effect]:
        """A model was measured: its cap begins again from that, unless it has done so before."""
        profile = event.profile
        if profile.model not in self._loops:
            return [fx.Answer(event.ticket, None, _unknown(profile.model))]
        if profile == self._followed.get(profile.model):
            return [fx.Answer(event.ticket, None)]
        self._follow(profile)
        return [fx.RememberProfile(profile), fx.Answer(event.ticket, None)]

    def levelled(self, event: ev.LevelSet) -> list[fx.Effect]:
        """A model's cap keeps to another TPOT from now on; what it has learned stays."""
        if event.model not in self._loops:
            return [fx.Answer(event.ticket, None, _unknown(event.model))]
        self._loops[event.model].keep_to(event.tpot_s)
        return [fx.Answer(event.ticket, None)]

    def _follow(self, profile: BatchSizeProfile) -> None:
        self._followed[profile.model] = profile
        self._loops[profile.model].follow(measured(profile.points))


def _unknown(model: str) -> str:
    return f"{model} is not in this host's fleet file"


def _first_loop(limits: Limits) -> CapLoop:
    first, level_s = limits.interactive_cap, limits.tpot_s
    curve = assumed(level_s=level_s, cap=first)
    return CapLoop(curve, slots=limits.slots, level_s=level_s, first_cap=first)

"""Stops a step between two layers of an eager model: the worker's side of abandoning."""

from collections.abc import Sequence
from typing import Any

import structlog
from torch import nn
from vllm.v1.core.sched.output import SchedulerOutput

from serving.engine.vllm.abandoning import Gate, gate_of

log = structlog.get_logger(__name__)


class LayerGates:
    """Before each layer of a model the step in progress is asked whether to go on."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        self._gate: Gate | None = None
        self.layers = layers
        """Computed one after the other. Without any no step is abandoned."""
        for index, layer in enumerate(layers):
            self._ask_before(layer, index)
        if not layers:
            log.info("no step of this engine is abandoned", reason="no layers to stop between")

    def open_for(self, step: SchedulerOutput) -> None:
        """From now on the layers compute `step`."""
        self._gate = gate_of(step)

    def close(self) -> None:
        """The step has ended."""
        self._gate = None

    def _ask_before(self, layer: nn.Module, index: int) -> None:
        def ask(_layer: nn.Module, _arguments: Any) -> None:
            if self._gate is not None:
                self._gate.before_layer(index, len(self.layers))

        layer.register_forward_pre_hook(ask)


def decoder_layers(model: nn.Module, count: int) -> Sequence[nn.Module]:
    """The one list of `count` layers in `model`; empty if there is none, or several."""
    lists = [
        module
        for module in model.modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    ]
    return list(lists[0]) if len(lists) == 1 else []

"""Stops a step between two layers of an eager model: the worker's side of abandoning."""

from typing import Any

from torch import nn
from vllm.v1.core.sched.output import SchedulerOutput

from serving.engine.vllm.abandoning import Gate, gate_of


class LayerGates:
    """The gates of one model: before each of its layers the step in progress is asked to go on."""

    def __init__(self, model: nn.Module, layers: int) -> None:
        self._gate: Gate | None = None
        self.layers = decoder_layers(model, layers)
        """None if the model is not built of them: its steps are never abandoned."""
        for index, layer in enumerate(self.layers):
            self._ask_before(layer, index)

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


def decoder_layers(model: nn.Module, layers: int) -> list[nn.Module]:
    """The `layers` layers that the model computes one after the other; empty if it has no such."""
    lists = [
        module
        for module in model.modules()
        if isinstance(module, nn.ModuleList) and len(module) == layers
    ]
    return list(lists[0]) if len(lists) == 1 else []

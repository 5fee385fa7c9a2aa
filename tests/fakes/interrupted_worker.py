"""The CPU worker, whose steps are interrupted where a test says; the interruption itself is real.

What a test says comes by `collective_rpc`, between two steps.
"""

import time
from pathlib import Path
from typing import Any

from torch import nn
from vllm.v1.core.sched.output import SchedulerOutput

from serving.engine.vllm.abandoning import AbandonedStep, Gate, gate_of
from serving.engine.vllm.cpu_worker import SleepingCPUWorker

_LIMIT_S = 120.0
_NOBODY = "nobody"


class InterruptedWorker(SleepingCPUWorker):
    """Notes arrivals of nobody, or waits in the middle of a step for one of somebody."""

    def load_model(self, *, load_dummy_weights: bool = False) -> None:
        """Load it, and look at each step before each of its layers, before its gate does."""
        super().load_model(load_dummy_weights=load_dummy_weights)
        self._gate: Gate | None = None
        self._arrivals_before: list[int] = []
        self._before: int | None = None
        self._wait_file: Path | None = None
        self._abandoned = 0
        for index, layer in enumerate(self._layer_gates.layers):
            self._look_before(layer, index)

    def interrupt(self, layers: list[int]) -> None:
        """In each of the next steps that may be abandoned, "receive" a request before a layer."""
        self._arrivals_before = list(layers)

    def wait_for_arrival(self, file: str) -> None:
        """In the next step that may be abandoned, make `file` and wait for a request."""
        self._wait_file = Path(file)

    def abandoned_steps(self) -> int:
        """So far."""
        return self._abandoned

    def execute_model(self, scheduler_output: SchedulerOutput) -> Any:
        """One step."""
        self._gate = gate_of(scheduler_output)
        self._before = None
        if self._gate is not None and self._arrivals_before:
            self._before = self._arrivals_before.pop(0)
            # Between two steps the scheduler takes what has arrived.
            self._gate.arrivals.scheduler_has(_NOBODY)
        output = super().execute_model(scheduler_output)
        self._abandoned += isinstance(output, AbandonedStep)
        return output

    def _look_before(self, layer: nn.Module, index: int) -> None:
        def look(_layer: nn.Module, _arguments: Any) -> None:
            if self._gate is None:
                return
            if index == self._before:
                self._gate.arrivals.received(_NOBODY)
            if index == 1 and self._wait_file is not None:
                self._wait(self._gate, self._wait_file)

        layer.register_forward_pre_hook(look, prepend=True)

    def _wait(self, gate: Gate, file: Path) -> None:
        self._wait_file = None
        file.touch()
        end = time.monotonic() + _LIMIT_S
        while not gate.arrivals:
            if time.monotonic() > end:
                raise TimeoutError("nobody came")
            time.sleep(0.01)

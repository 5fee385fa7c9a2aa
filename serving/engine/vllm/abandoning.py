"""When a step is abandoned: an interactive request has come, and all of the step is batch work.

The decision, what it is made from, and how a step says that it ended so. Undoing the step is the
scheduler's (`abandoning_scheduler`), stopping it the worker's (`layer_gates`): both are in the
engine core's process, with the thread that receives requests.
"""

import threading

from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.outputs import ModelRunnerOutput

from serving.engine.protocol import EngineFailed

LEAST_SHARE_LEFT = 0.25
"""Of a step's layers, for it to be abandoned. With less left a request would be spared little, and
batch would lose most of a step."""

_GATE = "turntable_gate"
"""Under which a step that may be abandoned carries its gate to the worker."""


class StepAbandoned(EngineFailed):
    """A step was given up between two layers; it is computed again later."""


class AbandonedStep(ModelRunnerOutput):
    """What a worker gives back for a step that it abandoned: no request got a token."""


class Arrivals:
    """Interactive requests that the engine core has received and its scheduler has yet to see."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._on_their_way: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._on_their_way)

    def received(self, request_id: str) -> None:
        """It is on its way to the scheduler. Called by the thread that receives requests."""
        with self._lock:
            self._on_their_way.add(request_id)

    def scheduler_has(self, request_id: str) -> None:
        """It has arrived."""
        with self._lock:
            self._on_their_way.discard(request_id)

    def spent(self) -> None:
        """A step was abandoned for all that are on their way: none of them stops another one."""
        with self._lock:
            self._on_their_way.clear()


class Gate:
    """Between the layers of one step: whether it goes on."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals = arrivals

    def before_layer(self, layer: int, layers: int) -> None:
        """Raise `StepAbandoned` if the step is not to go on with `layer` (from 0) of `layers`."""
        if self.arrivals and is_worth_abandoning(layers_left=layers - layer, layers=layers):
            self.arrivals.spent()
            raise StepAbandoned(
                f"it was abandoned before layer {layer} of {layers}",
                where="step of an engine",
                fix="It is computed again.",
            )


def is_worth_abandoning(*, layers_left: int, layers: int) -> bool:
    """Whether enough of a step is still to be computed."""
    return layers_left >= LEAST_SHARE_LEFT * layers


def give_gate(step: SchedulerOutput, gate: Gate) -> None:
    """Let the worker abandon `step`. Without a gate it never does."""
    setattr(step, _GATE, gate)


def gate_of(step: SchedulerOutput) -> Gate | None:
    """The gate of `step`, if it may be abandoned."""
    gate: Gate | None = getattr(step, _GATE, None)
    return gate


def abandoned(step: SchedulerOutput) -> AbandonedStep:
    """The output of `step`, in which nobody got a token."""
    names = list(step.num_scheduled_tokens)
    return AbandonedStep(names, {name: index for index, name in enumerate(names)})

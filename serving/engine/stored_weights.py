"""The weights of a host's models in the machine's store, as its engines and its tiers need them."""

from collections.abc import Callable

import structlog

from serving.config import Fleet, ModelSettings, StateFolder
from serving.weights import Lease, checkpoint_path, hold, prepare

log = structlog.get_logger(__name__)


class StoredWeights:
    """Implements `serving.engine.protocol.Weights` over the store of the state folder."""

    def __init__(self, fleet: Fleet, state: StateFolder) -> None:
        self._fleet, self._state = fleet, state

    def present(self, model: str) -> bool:
        """Whether the checkpoint is there: it appears whole or not at all."""
        return checkpoint_path(self._fleet.model(model), self._state).is_dir()

    def prepare(self, model: str) -> None:
        """Download or convert it if need be. Raises WeightsError."""
        settings = self._fleet.model(model)
        prepare(settings, self._state, _saying(settings), budget_gib=self._budget_gib)

    def of(self, model: ModelSettings) -> Callable[[], Lease]:
        """What an engine of `model` calls to have the checkpoint for as long as it needs it."""
        return lambda: hold(model, self._state, _saying(model), budget_gib=self._budget_gib)

    @property
    def _budget_gib(self) -> float | None:
        return self._fleet.weights.budget_gib


def _saying(model: ModelSettings) -> Callable[[str], None]:
    def say(text: str) -> None:
        log.info("preparing weights", model=model.name, progress=text)

    return say

"""What a generation remembers from attempt to attempt while it is driven: patience and failures.

Plain state. When to give up is decided here; the attempts are made by `serving.gateway.attempts`.
"""

import time

from serving.config import GatewaySettings
from serving.gateway.failures import attempts_failed
from serving.gateway.generation import Generation
from serving.gateway.intake import AttemptEnd
from serving.gateway.pool import Lease

FAILURES_IN_A_ROW = 5
"""So many attempts may fail one after the other without a new token between them."""


class Trip:
    """What a generation remembers from attempt to attempt while it is driven."""

    def __init__(
        self, generation: Generation, settings: GatewaySettings, *, replica_wait_s: float
    ) -> None:
        self.generation = generation
        self._settings, self._replica_wait_s = settings, replica_wait_s
        self.without_slot_since = time.monotonic()
        self.avoid: frozenset[str] = frozenset()
        self._failures = 0
        self._host = ""
        self.had_slot = False
        self.reserved: Lease | None = None
        """The slot elsewhere for which a held generation leaves its host."""

    def take_reserved(self) -> Lease | None:
        """The reserved slot, which is the caller's to close from now on."""
        lease, self.reserved = self.reserved, None
        return lease

    @property
    def replica_by(self) -> float:
        """When (monotonic) to give up waiting for a replica."""
        started = self.generation.first_slot_at is not None
        wait_s = self._settings.resume_wait_s if started else self._replica_wait_s
        return self.without_slot_since + wait_s

    @property
    def slot_wait_s(self) -> float:
        """How long an interactive generation may be queued on one host."""
        settings, started = self._settings, self.generation.first_slot_at is not None
        return settings.resume_wait_s if started else settings.slot_wait_s

    def begin(self, host: str) -> None:
        """An attempt on `host` begins."""
        self._host, self.had_slot = host, False

    def progressed(self) -> None:
        """A new token came."""
        self._failures = 0

    def end(self, end: AttemptEnd) -> None:
        """An attempt ended early. Raises GenerationFailed when there were too many."""
        self.avoid = frozenset({self._host})
        if self.had_slot:
            self.without_slot_since = time.monotonic()
        if end.kind == "failed":
            self._failures += 1
            if self._failures >= FAILURES_IN_A_ROW:
                raise attempts_failed(self.generation.model, self._failures, end.why)

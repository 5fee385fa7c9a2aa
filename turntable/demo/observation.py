"""What a step of the demo observed. Data only."""

from collections.abc import Callable

import msgspec


class Observation(msgspec.Struct, kw_only=True):
    """One step: what it was to show, and what was seen."""

    step: str
    observed: bool = False
    """Whether everything the step was to show was seen."""
    seen: list[str] = []
    missing: list[str] = []
    seconds: float = 0.0

    def note(self, sentence: str) -> None:
        """Something seen, for the table."""
        self.seen.append(sentence)

    def expect(self, held: bool, sentence: str) -> None:
        """Something that must have been seen."""
        (self.seen if held else self.missing).append(sentence)


Say = Callable[[str], None]
"""Tells the user what is being waited for."""


class NotObserved(Exception):  # not an error of Turntable's parts: the demo's own verdict
    """A step waited for something as long as it may, and it did not come."""

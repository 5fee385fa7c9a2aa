"""Overrides: what an operator tells the planner, each until a stated time, with who and why.

Pure data, and how it is told apart and put in words. What an override does to a plan is in
`steering`, where it is kept in `override_record`.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

FREEZE = "freeze"
"""What the freeze is called, where others are called by their host or model."""


class _Until(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What all overrides have."""

    made_at: float
    until: float
    """When it ends by itself, in seconds since the epoch."""
    by: str
    """Who made it."""
    note: str = ""
    """Why."""

    @property
    def ending(self) -> str:
        """Until when, by whom and why, in words."""
        end = datetime.fromtimestamp(self.until, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"until {end} ({self.by}: {self.note})" if self.note else f"until {end} ({self.by})"


class Pin(_Until, frozen=True, kw_only=True, tag="pin"):
    """A host has this grant: one model, or several that it shares."""

    host: str
    grant: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it is about."""
        return self.host

    @property
    def words(self) -> str:
        """The override in words."""
        return f"{self.host} is pinned to {', '.join(self.grant)} {self.ending}"


class Freeze(_Until, frozen=True, kw_only=True, tag="freeze"):
    """No host is given another grant, but to restore a model's minimum."""

    @property
    def name(self) -> str:
        """What it is about; there is one."""
        return FREEZE

    @property
    def words(self) -> str:
        """The override in words."""
        return f"planned moves are frozen {self.ending}"


class Replicas(_Until, frozen=True, kw_only=True, tag="replicas"):
    """A model has this many dedicated replicas, instead of its minimum and maximum."""

    model: str
    count: int

    @property
    def name(self) -> str:
        """What it is about."""
        return self.model

    @property
    def words(self) -> str:
        """The override in words."""
        noun = "replica" if self.count == 1 else "replicas"
        return f"{self.model} is held at {self.count} {noun} {self.ending}"


Override = Pin | Freeze | Replicas


def active(overrides: Iterable[Override], now: float) -> tuple[Override, ...]:
    """Those that count at `now`: not ended, and of several about the same the latest."""
    latest = _by_subject(sorted(overrides, key=lambda override: override.made_at))
    return tuple(override for override in latest.values() if now < override.until)


def changes(before: Iterable[Override], after: Iterable[Override]) -> list[str]:
    """Which overrides came and which ended between two plans, in words."""
    old, new = _by_subject(before), _by_subject(after)
    came = [f"override: {o.words}" for subject, o in new.items() if old.get(subject) != o]
    ended = [f"no override any more: {o.words}" for subject, o in old.items() if subject not in new]
    return [*came, *ended]


def _by_subject(overrides: Iterable[Override]) -> dict[tuple[type, str], Override]:
    return {(type(override), override.name): override for override in overrides}

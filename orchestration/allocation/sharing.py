"""Sharing: which hosts several models take turns on, and which models need no host of their own.

Pure. What a host then has awake is not decided here: it switches within its grant by itself.
"""

from collections.abc import Mapping, Sequence

import msgspec

from orchestration.allocation.need import Need
from orchestration.allocation.pool import Place
from serving.config import Fleet


class Sharing(msgspec.Struct, frozen=True, kw_only=True):
    """What the shared hosts are for."""

    grants: tuple[tuple[str, ...], ...] = ()
    """One set of models for every host that is to be shared."""
    models: frozenset[str] = frozenset()
    """Models that get no host of their own beyond their minimum."""


def shared_sets(fleet: Fleet, needs: Mapping[str, Need], pool: Sequence[Place]) -> Sharing:
    """Which hosts of the pool are shared, among which models. Now: none."""
    return Sharing()

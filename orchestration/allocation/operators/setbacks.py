"""Setbacks: hotswaps that failed, and how long a plan keeps away from what failed. Pure.

A model that could not be woken on a host is given to another host; the same is tried again after
a pause that doubles with every failure. A model that failed on several hosts is itself in doubt:
then it pauses everywhere, or it would disturb one host after the other.
"""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

PAUSE_S = 10.0
"""Pause after the first failure."""
LONGEST_PAUSE_S = 300.0
HOSTS_FOR_DOUBT = 2
"""Hosts on which a model must have failed for the model to be in doubt."""


class Setback(msgspec.Struct, frozen=True, kw_only=True):
    """Hotswaps of a model to a host that failed since one last succeeded there."""

    host: str
    model: str
    times: int
    last_at: float


class Avoided(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan keeps away from, with the reasons in words."""

    pairs: dict[tuple[str, str], str] = {}
    """Host and model that are not to be brought together now."""
    models: dict[str, str] = {}
    """Models that no further host is to be given now."""

    def because(self, host: str, model: str) -> str | None:
        """Why `host` is not to be given `model` now; None if it may be."""
        return self.pairs.get((host, model)) or self.models.get(model)


NOTHING_AVOIDED = Avoided()


def avoided(setbacks: Iterable[Setback], now: float) -> Avoided:
    """What a plan made at `now` keeps away from."""
    by_model: defaultdict[str, list[Setback]] = defaultdict(list)
    for setback in setbacks:
        by_model[setback.model].append(setback)
    pairs, models = {}, {}
    for model, those in by_model.items():
        for setback in those:
            left_s = _pause_ends(setback.last_at, setback.times) - now
            if left_s > 0:
                pairs[setback.host, model] = _words([setback], left_s)
        left_s = _pause_ends(max(s.last_at for s in those), sum(s.times for s in those)) - now
        if len(those) >= HOSTS_FOR_DOUBT and left_s > 0:
            models[model] = _words(those, left_s)
    return Avoided(pairs=pairs, models=models)


def _pause_ends(last_at: float, times: int) -> float:
    return last_at + min(PAUSE_S * 2.0 ** (times - 1), LONGEST_PAUSE_S)


def _words(setbacks: list[Setback], left_s: float) -> str:
    times = sum(setback.times for setback in setbacks)
    hosts = ", ".join(sorted(setback.host for setback in setbacks))
    swaps = "hotswap" if times == 1 else f"{times} hotswaps"
    return f"{swaps} to {setbacks[0].model} failed on {hosts}, again in {left_s:.0f} s"

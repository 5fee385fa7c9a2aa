"""Sets: which models share which of the shared hosts. Pure and deterministic.

Every model on as many hosts as the others, as far as memory goes; models that meet on one host meet
on few others, so that those active at one time find hosts of their own. Sets that are there
already stay as they are, but for what has to change.
"""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import islice, permutations

from orchestration.allocation.choosing.memory import Fits
from orchestration.allocation.pool import Place

LOOKED_AT = 16
"""Hosts that are compared for one place in a set: of thousands alike, some suffice."""

MOST_COPIES = 64
"""Hosts that a model is spread over: with so many, one of them is idle. It also bounds the sets
while nobody knows how large engines are."""


def set_up(
    hosts: Sequence[Place], sharing: Sequence[str], overflowing: Sequence[str], fits: Fits
) -> list[tuple[str, ...]]:
    """A set of models for each of `hosts`; the models of `overflowing` take what room is left."""
    sets = _Sets(hosts, {*sharing, *overflowing}, fits)
    sets.cover(sharing)
    sets.spread(sharing)
    sets.spread(overflowing)
    return [tuple(models) for models in sets.models]


class _Sets:
    """The sets as they fill up."""

    def __init__(self, hosts: Sequence[Place], known: Collection[str], fits: Fits) -> None:
        self._hosts, self._fits = hosts, fits
        self.models = [self._kept(host, known) for host in hosts]
        self._most = math.ceil(len(known) * MOST_COPIES / len(hosts))
        """Models in one set, for as many copies of each in all."""
        self._left = [fits.left(h.host, m) for h, m in zip(hosts, self.models, strict=True)]
        self._copies = Counter(name for models in self.models for name in models)
        self._met: Counter[tuple[str, str]] | None = None
        """How often two models are on one host; counted when a host is chosen for one."""

    def _kept(self, host: Place, known: Collection[str]) -> list[str]:
        """What stays of a host's grant, in its order: as much as fits together."""
        kept: list[str] = []
        left = self._fits.host_bytes[host.host]
        for name in host.grant or (() if host.model is None else (host.model,)):
            left_then = left - self._fits.size(name)
            if name in known and name not in host.excluded and (left_then >= 0 or not kept):
                kept.append(name)
                left = left_then
        return kept

    def cover(self, names: Sequence[str]) -> None:
        """Every model on one host at least, in place of one that is on several if need be."""
        for name in names:
            if not self._copies[name] and not self._add(name):
                self._replace(name)

    def spread(self, names: Sequence[str]) -> None:
        """Fill the hosts' memory, the models on the fewest hosts first."""
        open_names = list(names)
        while open_names:
            name = min(open_names, key=lambda each: self._copies[each])
            if not self._add(name):
                open_names.remove(name)

    def _add(self, name: str) -> bool:
        size = self._fits.size(name)
        fitting = (
            number
            for number, host in enumerate(self._hosts)
            if self._left[number] >= size
            and len(self.models[number]) < self._most
            and name not in self.models[number]
            and name not in host.excluded
        )
        best = min(islice(fitting, LOOKED_AT), key=lambda n: self._strain(n, name), default=None)
        if best is None:
            return False
        self._put(best, name)
        return True

    def _strain(self, number: int, name: str) -> tuple[int, int, int]:
        """How often the model meets those of this host elsewhere, then how full it is."""
        if self._met is None:
            pairs = (pair for models in self.models for pair in permutations(models, 2))
            self._met = Counter(pairs)
        met = sum(self._met[name, other] for other in self.models[number])
        return met, len(self.models[number]), number

    def _replace(self, name: str) -> None:
        """In place of the model that is on the most hosts, where that frees enough memory."""
        best, most = None, 1
        for number, host in enumerate(self._hosts):
            if name in host.excluded:
                continue
            for other in self.models[number]:
                room = self._left[number] + self._fits.size(other) >= self._fits.size(name)
                if room and other != host.model and self._copies[other] > most:
                    best, most = (number, other), self._copies[other]
        if best is not None:
            self._take(*best)
            self._put(best[0], name)

    def _put(self, number: int, name: str) -> None:
        if self._met is not None:
            for other in self.models[number]:
                self._met[name, other] += 1
                self._met[other, name] += 1
        self.models[number].append(name)
        self._left[number] -= self._fits.size(name)
        self._copies[name] += 1

    def _take(self, number: int, name: str) -> None:
        self.models[number].remove(name)
        self._met = None
        self._left[number] += self._fits.size(name)
        self._copies[name] -= 1

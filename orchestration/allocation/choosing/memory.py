"""Memory: which models fit on a host together, by what their engines were seen to hold. Pure."""

from collections.abc import Iterable, Mapping

import msgspec

from serving.config import Fleet, HostSettings
from serving.wire import HostState

_GIB = 1024**3


class Fits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes of models, and what each host has for all of its own."""

    model_bytes: Mapping[str, int]
    host_bytes: Mapping[str, int]
    assumed_bytes: int
    """Of a model nobody has seen."""

    def size(self, model: str) -> int:
        """What `model` takes on a host."""
        return self.model_bytes.get(model, self.assumed_bytes)

    def left(self, host: str, models: Iterable[str]) -> int:
        """Bytes of `host` that these models leave."""
        return self.host_bytes[host] - sum(self.size(model) for model in models)


def fits(fleet: Fleet, states: Mapping[str, HostState | None]) -> Fits:
    """What the hosts say of the models' engines; the largest counts, unseen ones are as large."""
    seen: dict[str, int] = {}
    for state in states.values():
        for model, size in (state.engine_bytes if state is not None else {}).items():
            seen[model] = max(size, seen.get(model, 0))
    return Fits(
        model_bytes=seen,
        host_bytes={host.name: _bytes(host) for host in fleet.hosts},
        assumed_bytes=max(seen.values(), default=0),
    )


def _bytes(host: HostSettings) -> int:
    return int(host.host_memory_gib * _GIB)

"""What interactive work and failures did to the requests of a batch, from the traffic store."""

import msgspec

from analytics.errors import StoreError
from analytics.traffic import TrafficReader
from serving.config import Fleet, StateFolder

_SQL = """
SELECT count(*)::BIGINT AS requests,
       coalesce(sum(evictions), 0)::BIGINT AS evictions,
       coalesce(sum(held_s), 0)::DOUBLE AS held_s,
       coalesce(sum(recomputed_tokens), 0)::BIGINT AS recomputed_tokens,
       coalesce(sum(saved_tokens), 0)::BIGINT AS saved_tokens
FROM requests
WHERE request_class = 'batch' AND ended_at >= $since AND starts_with(request_id, $prefix)"""


class Disturbance(msgspec.Struct, frozen=True, kw_only=True):
    """Of the requests of a batch that have ended."""

    requests: int
    evictions: int
    held_s: float
    recomputed_tokens: int
    saved_tokens: int
    """That going on after an eviction or a failure did not compute again."""


def disturbance(fleet: Fleet, state: StateFolder, name: str, since: float) -> Disturbance | None:
    """What the store says of requests named `name`; None: it is away."""
    where = fleet.store
    try:
        with TrafficReader(where.address, where.port, state.token("store")) as reader:
            found = reader.query(_SQL, {"since": since, "prefix": f"{name}."})
    except StoreError:
        return None
    return msgspec.convert(found.row(0, named=True), Disturbance)

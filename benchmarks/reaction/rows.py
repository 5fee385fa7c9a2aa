"""From samples to rows. Pure."""

from collections.abc import Sequence

from benchmarks.figures import Row, Target
from benchmarks.reaction.samples import Reaction
from benchmarks.reaction.switches import Switched
from benchmarks.statistics import median, quantile
from benchmarks.timeline import part_rows

_WHAT = "burst to first token"
_SWITCHED = f"{_WHAT} by a switch within a grant"


def rows_of(reactions: Sequence[Reaction], switched: Sequence[Switched]) -> list[Row]:
    """The reaction, its parts in their order, and what it is where hosts share time."""
    first_tokens_s = [each.first_token_s for each in reactions]
    slowest_s = [each.slowest_first_token_s for each in reactions]
    after_s = [each.after_hotswap_s for each in reactions]
    return [
        Row(f"{_WHAT}, p50", median(first_tokens_s), "s", Target("<=", 5.0)),
        Row(f"{_WHAT}, p95", quantile(first_tokens_s, 0.95), "s", Target("<=", 8.0)),
        Row("bursts", len(reactions), "count"),
        *part_rows(_WHAT, [each.timeline.parts for each in reactions]),
        Row(f"{_WHAT}, after the hotswap, p50", median(after_s), "s"),
        Row(f"{_WHAT}, after the hotswap, p95", quantile(after_s, 0.95), "s"),
        Row("burst to the first token of its last request, p50", median(slowest_s), "s"),
        *switch_rows(_SWITCHED, switched),
    ]


def switch_rows(what: str, switched: Sequence[Switched]) -> list[Row]:
    """What a burst waits that a switch answers."""
    first_tokens_s = [each.first_token_s for each in switched]
    return [
        Row(f"{what}, p50", median(first_tokens_s), "s"),
        Row(f"{what}, p95", quantile(first_tokens_s, 0.95), "s"),
        Row(f"{what}, hotswap, p50", median([each.hotswap_s for each in switched]), "s"),
        Row(f"{what}, bursts", len(switched), "count"),
    ]

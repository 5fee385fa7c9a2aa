"""The rows of one size: interactive work beside batch work, and what batch work got. Pure."""

from benchmarks.coserve.accounts import batch_rate, harmed, recomputed_share, total
from benchmarks.coserve.ceiling import batch_share_ceiling, room_beside
from benchmarks.coserve.oracle import excess_percent
from benchmarks.coserve.rounds import over, over_rounds, quantile_over, quantile_over_rounds
from benchmarks.coserve.samples import ArmSamples, CoserveSamples, SizeSamples
from benchmarks.coserve.workload import SIZES
from benchmarks.figures import Row, Target
from benchmarks.statistics import median, quantile

_MS = 1000.0
LATENCIES = (
    ("TTFT p50", ArmSamples.ttfts_s, 0.5, 1.2),
    ("TTFT p99", ArmSamples.ttfts_s, 0.99, 1.5),
    ("TPOT p50", ArmSamples.tpots_s, 0.5, 1.15),
    ("TPOT p99", ArmSamples.tpots_s, 0.99, 1.25),
    ("longest gap between tokens, p99", ArmSamples.longest_gaps_s, 0.99, 1.5),
)
"""Name, samples, quantile, and how many times the value alone it may be."""


def size_rows(name: str, samples: CoserveSamples) -> list[Row]:
    """All of the size called `name`."""
    size = samples.sizes[name]
    return [
        *_size(name, size),
        *_gaps(name, size),
        *_batch(name, samples),
        *_accounts(name, size.ours),
    ]


def _size(name: str, size: SizeSamples) -> list[Row]:
    """Interactive work: alone, ours and the stock server's over alone."""
    rows = [
        Row(f"{name}: interactive requests an arm", len(size.alone.interactive), "count"),
        Row(f"{name}: share of time with interactive work", _present(size.alone), "share"),
        Row(f"{name}: TPOT service level", _MS * median(size.levels_s), "ms"),
    ]
    for label, values, share, bound in LATENCIES:
        ours = quantile_over_rounds(size.ours, size.alone, values, share)
        pooled = quantile_over(size.ours, size.alone, values, share)
        stock = quantile_over(size.stock, size.stock_alone, values, share)
        rows += [
            Row(f"{name}: {label}, alone", _MS * quantile(values(size.alone), share), "ms"),
            Row(f"{name}: {label}, ours / alone", ours, "ratio", Target("<=", bound)),
            Row(f"{name}: {label}, ours / alone, rounds pooled", pooled, "ratio"),
            Row(f"{name}: {label}, stock priority / stock alone", stock, "ratio"),
        ]
    return rows


def _gaps(name: str, size: SizeSamples) -> list[Row]:
    arms = {"alone": size.alone, "stock priority": size.stock, "ours": size.ours}
    return [
        Row(f"{name}: gaps between tokens {label}, {arm}", _MS * quantile(gaps, share), "ms")
        for arm, found in arms.items()
        for gaps in [found.gaps_s()]
        for label, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    ]


def _batch(name: str, samples: CoserveSamples) -> list[Row]:
    size = samples.sizes[name]
    alone, stock = batch_rate(samples.batch_alone), batch_rate(size.stock)
    ours = over_rounds(size.ours, samples.batch_alone, batch_rate)
    profile, slots = samples.profile, samples.slots
    ceiling = batch_share_ceiling(profile, size.alone.presence(), slots, alone)
    room = room_beside(profile, _burst(name), slots)
    return [
        Row(f"{name}: batch tokens/s, ours / alone", ours, "ratio", Target(">=", 0.8)),
        Row(f"{name}: batch tokens/s, ceiling under the TPOT bounds", ceiling, "ratio"),
        Row(
            f"{name}: batch generations that the TPOT p50 bound lets beside a burst", room, "count"
        ),
        Row(f"{name}: batch tokens/s, stock priority / alone", over(stock, alone), "ratio"),
    ]


def _accounts(name: str, ours: ArmSamples) -> list[Row]:
    """What Turntable recorded of its own arm."""
    found = ours.recorded
    evictions, least = total(found, "evictions"), total(found, "least_evictions")
    caps = [float(cap) for recorded in found for cap in recorded.caps]
    return [
        Row(
            f"{name}: tokens recomputed / generated",
            recomputed_share(found),
            "ratio",
            Target("<=", 0.05),
        ),
        Row(f"{name}: evictions", evictions, "count"),
        Row(f"{name}: of them in place", total(found, "in_place"), "count"),
        Row(f"{name}: evictions, least possible", least, "count"),
        Row(
            f"{name}: evictions beyond the least possible",
            excess_percent(evictions, least),
            "%",
            Target("<=", 10),
        ),
        Row(f"{name}: batch rows lost or doubled", harmed(ours.batch), "count", Target("<=", 0)),
        Row(f"{name}: interactive cap, p50", median(caps), "count"),
    ]


def _burst(name: str) -> int:
    return next(size.burst for size in SIZES if size.name == name)


def _present(arm: ArmSamples) -> float:
    return sum(arm.presence().values()) if arm.segments else float("nan")

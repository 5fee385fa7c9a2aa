"""A fleet of any size with its states and traffic, made from a seed. Pure."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from analytics.traffic import ModelTraffic
from serving.config import Fleet, HostSettings, ModelSettings
from serving.config.fleet import AllocationSettings, RandomSource
from serving.wire import WIRE_VERSION, ClassCounts, HostState, Tier

WINDOW_S = 10.0
REQUEST_TOKENS = 400.0
REPLICA_TOKENS_PER_S = 2000.0
LOADED = 0.7
"""Interactive load of the whole fleet, of what it can do."""
ASLEEP = 10
"""Models asleep on each host, beside the awake one."""
ENGINE_BYTES = 700 * 1024**2
"""Of every model, so that a host's memory holds about eleven."""
DOMAINS = 20


@dataclass(frozen=True)
class World:
    """All that a plan is made from."""

    fleet: Fleet
    states: dict[str, HostState | None]
    traffic: list[ModelTraffic]


def worlds(hosts: int, models: int, *, seed: int = 0) -> Iterator[tuple[str, World]]:
    """Situations, by name.

    Steady; a fifth of the models gets busier or less; a tenth of the hosts is lost; a start with
    any model anywhere, without and with shared hosts.
    """
    rng = random.Random(seed)  # noqa: S311 - situations, no secrets
    names = [f"model-{number}" for number in range(models)]
    fleet, sharing = (_fleet(hosts, names, time_sharing=shared) for shared in (False, True))
    loads = _loads(names, hosts * LOADED, rng)
    settled = _settled(loads, hosts, names)
    states = _states(settled, names, rng)
    yield "steady", World(fleet, states, _traffic(loads))
    yield "shift", World(fleet, states, _traffic(_shifted(loads, names, rng)))
    lost = set(rng.sample(sorted(states), hosts // 10))
    left = {name: None if name in lost else state for name, state in states.items()}
    yield "hosts lost", World(fleet, left, _traffic(loads))
    mixed = rng.choices(names, k=hosts)
    anywhere = _states(mixed, names, rng)
    yield "start", World(fleet, anywhere, _traffic(loads))
    yield "start with shared hosts", World(sharing, anywhere, _traffic(loads))


def _fleet(hosts: int, names: list[str], *, time_sharing: bool) -> Fleet:
    return Fleet(
        hosts=[
            HostSettings(
                name=f"host-{number}",
                port=1024 + number % 60_000,
                address=f"10.0.{number // 60_000}.1",
                failure_domain=f"rack-{number % DOMAINS}",
            )
            for number in range(hosts)
        ],
        models=[
            ModelSettings(
                name=name,
                source=RandomSource(kind="random"),
                max_replicas=hosts,
                replica_tokens_per_s=REPLICA_TOKENS_PER_S,
            )
            for name in names
        ],
        allocation=AllocationSettings(window_s=WINDOW_S, time_sharing=time_sharing),
    )


def _loads(names: list[str], total: float, rng: random.Random) -> dict[str, float]:
    """Load of each model in replicas: few heavy ones, many light ones."""
    parts = [rng.uniform(0.5, 1.5) / (place + 1) for place in range(len(names))]
    return {name: total * part / sum(parts) for name, part in zip(names, parts, strict=True)}


def _shifted(loads: dict[str, float], names: list[str], rng: random.Random) -> dict[str, float]:
    """A tenth of the models becomes twice as busy, another tenth half as busy."""
    chosen = rng.sample(names, max(2, len(names) // 5))
    factors = {name: 2.0 if place % 2 else 0.5 for place, name in enumerate(chosen)}
    return {name: load * factors.get(name, 1.0) for name, load in loads.items()}


def _settled(loads: dict[str, float], hosts: int, names: list[str]) -> list[str]:
    """The awake model of each host: by load, as a plan would have it about."""
    awake = [name for name, load in loads.items() for _ in range(max(1, round(load * 1.2)))]
    return [*awake, *names * hosts][:hosts]


def _states(awake: list[str], names: list[str], rng: random.Random) -> dict[str, HostState | None]:
    return {f"host-{n}": _state(f"host-{n}", model, names, rng) for n, model in enumerate(awake)}


def _state(host: str, awake: str, names: list[str], rng: random.Random) -> HostState:
    tiers: dict[str, Tier] = dict.fromkeys(names, "disk")
    tiers.update(dict.fromkeys(rng.sample(names, min(ASLEEP, len(names))), "asleep"))
    return HostState(
        host=host,
        boot_id="made",
        revision=1,
        wire_version=WIRE_VERSION,
        phase="serving",
        awake_model=awake,
        plan_id=1,
        tiers=tiers | {awake: "awake"},
        running=ClassCounts(interactive=rng.randrange(8), batch=rng.randrange(8)),
        waiting=ClassCounts(),
        slots=32,
        interactive_cap=8,
        memory_bytes=0,
        versions={},
        engine_bytes=dict.fromkeys(names, ENGINE_BYTES),
    )


def _traffic(loads: dict[str, float]) -> list[ModelTraffic]:
    return [_row(name, load * REPLICA_TOKENS_PER_S) for name, load in loads.items()]


def _row(model: str, tokens_per_s: float) -> ModelTraffic:
    ended = round(tokens_per_s * WINDOW_S / REQUEST_TOKENS)
    return ModelTraffic(
        model=model,
        request_class="interactive",
        window_s=WINDOW_S,
        arrivals=ended,
        ended=ended,
        waiting=0,
        running=ended // 10,
        prompt_tokens_per_s=tokens_per_s / 2,
        output_tokens_per_s=tokens_per_s / 2,
    )

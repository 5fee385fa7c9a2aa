"""Shifting traffic to a model without a replica, and timing its first token.

The request is the whole stimulus: the gateway records it, Dagster's sensor sees it in the store,
an allocation run swaps the model in, the gateway sends the waiting request there.
"""

import time
from collections.abc import Callable
from typing import Any

import httpx

from analytics.traffic import TrafficReader
from benchmarks.chat import ask, prompt
from benchmarks.loop.fleet import COOLDOWN_S
from benchmarks.loop.samples import Shift
from benchmarks.servers import Server, until
from benchmarks.setting import BenchmarkUnable
from benchmarks.start import START_LIMIT_S
from serving.config import Fleet, StateFolder

SHIFTS = 4
"""A round."""
_TIERS_LIMIT_S = 120.0
_ANSWER_TOKENS = 8
_SETTLED = ("asleep", "parked")


class Shifter:
    """Shifts the second host of a running instance between two models."""

    def __init__(
        self, fleet: Fleet, state: StateFolder, server: Server, say: Callable[[str], None]
    ) -> None:
        self._fleet, self._server, self._say = fleet, server, say
        self._store = (fleet.store.address, fleet.store.port, state.token("store"))
        self._gateway = f"http://{fleet.gateway.address}:{fleet.gateway.port}"
        self._pages = f"http://{fleet.dagster.address}:{fleet.dagster.port}"
        self._host = fleet.hosts[1].name
        self._models = [model.name for model in fleet.models[1:]]

    def wait_ready(self) -> float:
        """Wait until every host serves and Dagster's pages answer; when, on the monotonic clock."""

        def ready() -> float | None:
            hosts = self._hosts()
            serving = len(hosts) == len(self._fleet.hosts) and all(
                host["reachable"] and host["phase"] == "serving" for host in hosts.values()
            )
            return time.monotonic() if serving and self._pages_answer() else None

        return until(ready, "every host serves", limit_s=START_LIMIT_S, server=self._server)

    def shifts(self) -> list[Shift]:
        """Shift there and back; one sample a shift."""
        self._wait_for_tiers()
        done = []
        with TrafficReader(*self._store) as reader:
            for number in range(SHIFTS):
                self._wait_for_cooldown(reader)
                shift = self._shift(reader, number)
                self._say(
                    f"shift to {shift.model} ({shift.from_tier}): first token after "
                    f"{shift.first_token_s:.1f} s, of that hotswap {shift.hotswap_s:.2f} s"
                )
                done.append(shift)
        return done

    def _shift(self, reader: TrafficReader, number: int) -> Shift:
        awake = self._hosts()[self._host]["awake_model"]
        model = next(name for name in self._models if name != awake)
        began = time.time()
        try:
            answer = ask(self._gateway, model, prompt(number), _ANSWER_TOKENS)
        except httpx.HTTPError as error:
            raise BenchmarkUnable(
                f"a request for {model}, which has no replica, was not answered: {error}",
                where=self._gateway,
                fix="Look at the allocation runs in Dagster, and at the gateway's log.",
            ) from error
        swap = until(
            lambda: _swap_to(reader, model, began),
            f"the hotswap to {model} in the store",
            limit_s=START_LIMIT_S,
            server=self._server,
        )
        return Shift(model, answer.ttft_s, swap["total_s"], swap["from_tier"])

    def _wait_for_tiers(self) -> None:
        """A host warms its other models after it is ready; shifts are timed when that is done."""

        def warm() -> bool | None:
            tiers = self._hosts()[self._host]["tiers"]
            awake = self._hosts()[self._host]["awake_model"]
            others = [tiers[name] for name in self._models if name != awake]
            return True if all(tier in _SETTLED for tier in others) else None

        until(
            warm,
            f"{self._host} holds its other models",
            limit_s=_TIERS_LIMIT_S,
            server=self._server,
        )

    def _wait_for_cooldown(self, reader: TrafficReader) -> None:
        newest = "SELECT max(ended_at) AS at FROM swaps WHERE host = $host"

        def over() -> bool | None:
            at = reader.query(newest, {"host": self._host})["at"][0]
            return True if at is None or time.time() > at + COOLDOWN_S else None

        until(over, "the cooldown is over", limit_s=START_LIMIT_S, server=self._server)

    def _hosts(self) -> dict[str, dict[str, Any]]:
        try:
            answer = httpx.get(f"{self._gateway}/fleet", timeout=10, trust_env=False)
            return {host["host"]: host for host in answer.raise_for_status().json()["hosts"]}
        except httpx.HTTPError:
            return {}

    def _pages_answer(self) -> bool:
        try:
            answer = httpx.get(f"{self._pages}/server_info", timeout=10, trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.is_success


def _swap_to(reader: TrafficReader, model: str, since: float) -> dict[str, Any] | None:
    """The hotswap to `model` that ended after `since`, if it is recorded yet."""
    rows = reader.query(
        "SELECT total_s, from_tier FROM swaps "
        "WHERE to_model = $model AND ended_at > $since AND outcome = 'committed'",
        {"model": model, "since": since},
    )
    return rows.to_dicts()[0] if len(rows) else None

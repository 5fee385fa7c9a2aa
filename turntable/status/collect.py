"""Collecting the status. A part that does not answer is a line of the status, not an error."""

import time
from typing import Any

import msgspec

from analytics.errors import StoreError
from analytics.swap_activity import SwapActivity, swap_activity
from analytics.traffic import ModelTraffic, TrafficReader
from orchestration.allocation.operators.override_record import OverrideRecord
from orchestration.allocation.operators.overrides import Override
from orchestration.errors import OverridesUnreadable
from serving.config import Fleet, StateFolder
from turntable.gateway import GatewayUnreachable, fetch_fleet
from turntable.supervision.instance import Instance
from turntable.supervision.supervisord import (
    ProcessInfo,
    SupervisorClient,
    SupervisorUnreachable,
)

SWAPS_OF_S = 600.0
"""Swaps are rare beside requests: they are shown for so long."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at one moment."""

    instance: Instance
    processes: list[ProcessInfo]
    hosts: list[dict[str, Any]]
    """As the gateway's `/fleet` gives them."""
    models: list[dict[str, Any]]
    traffic: list[ModelTraffic]
    swaps: list[SwapActivity]
    """Hotswaps of the last minutes."""
    overrides: list[Override]
    """What operators have told the planner, as far as it is in force."""
    problems: list[str]
    """Parts that did not answer, in words."""


def collect(fleet: Fleet, state: StateFolder, instance: Instance, window_s: float) -> Status:
    """Ask supervisord, the gateway and the traffic store; read what operators told."""
    problems: list[str] = []
    processes: list[ProcessInfo] = []
    try:
        processes = SupervisorClient(state).processes()
    except SupervisorUnreachable as error:
        problems.append(str(error))
    seen: dict[str, Any] = {"hosts": [], "models": []}
    try:
        seen = fetch_fleet(fleet)
    except GatewayUnreachable as error:
        problems.append(str(error))
    traffic, swaps = _recorded(fleet, state, window_s, problems)
    return Status(
        instance=instance,
        processes=processes,
        hosts=seen["hosts"],
        models=seen["models"],
        traffic=traffic,
        swaps=swaps,
        overrides=_overrides(state, problems),
        problems=problems,
    )


def _recorded(
    fleet: Fleet, state: StateFolder, window_s: float, problems: list[str]
) -> tuple[list[ModelTraffic], list[SwapActivity]]:
    place = (fleet.store.address, fleet.store.port, state.token("store"))
    try:
        with TrafficReader(*place) as reader:
            return reader.model_traffic(window_s), swap_activity(reader, SWAPS_OF_S)
    except StoreError as error:
        problems.append(str(error))
        return [], []


def _overrides(state: StateFolder, problems: list[str]) -> list[Override]:
    try:
        return list(OverrideRecord.of(state).in_force(time.time()))
    except OverridesUnreadable as error:
        problems.append(str(error))
        return []

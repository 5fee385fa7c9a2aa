"""A dataset's partitions, as Dagster's and as portions."""

from collections.abc import Callable
from datetime import datetime

import dagster as dg

from orchestration.datasets.declaration import Partitions
from orchestration.datasets.patterns import Portion

_PERIODS: dict[str, Callable[..., dg.TimeWindowPartitionsDefinition]] = {
    "hourly": dg.HourlyPartitionsDefinition,
    "daily": dg.DailyPartitionsDefinition,
    "weekly": dg.WeeklyPartitionsDefinition,
    "monthly": dg.MonthlyPartitionsDefinition,
}


def partitions_definition(declared: Partitions) -> dg.PartitionsDefinition | None:
    """What Dagster is told; None: there is one portion only."""
    if declared.by == "none":
        return None
    if declared.by == "keys":
        return dg.StaticPartitionsDefinition(declared.keys)
    assert declared.start is not None, "the schema asks for it"
    return _PERIODS[declared.by](
        start_date=datetime.combine(declared.start, datetime.min.time()),
        timezone=declared.timezone,
        end_offset=int(declared.include_current),
    )


def portion_of(declared: Partitions, key: str | None) -> Portion:
    """The portion that a partition's key means."""
    definition = partitions_definition(declared)
    if not isinstance(definition, dg.TimeWindowPartitionsDefinition) or key is None:
        return Portion(partition=key)
    window = definition.time_window_for_partition_key(key)
    return Portion(partition=key, start=window.start, end=window.end)


def latest_keys(declared: Partitions, count: int, now: datetime) -> list[str | None]:
    """Of the partitions that a schedule looks at: the last periods, oldest first, or all keys."""
    definition = partitions_definition(declared)
    if definition is None:
        return [None]
    if not isinstance(definition, dg.TimeWindowPartitionsDefinition):
        return list(declared.keys)
    with dg.partition_loading_context(now):
        window = definition.get_last_partition_window()
        keys: list[str | None] = []
        while window is not None and len(keys) < count:
            keys.append(window.start.strftime(definition.fmt))
            window = definition.get_prev_partition_window(window.start)
    return keys[::-1]

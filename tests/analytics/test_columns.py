"""A struct's annotations decide its table's columns."""

from typing import ClassVar

import pytest

from analytics.columns import columns_of
from analytics.events import EVENT_TYPES, Event, PlanMade, RequestEnded


class Strange(Event, frozen=True, kw_only=True):
    table: ClassVar[str] = "strange"
    what: set[str]


def test_optional_literal_list_and_map_fields_have_their_duckdb_types() -> None:
    columns = columns_of(RequestEnded)
    assert columns["queue_s"] == "DOUBLE"
    assert columns["outcome"] == "VARCHAR"
    assert columns["status"] == "BIGINT"
    assert columns["hosts"] == "VARCHAR[]"
    assert columns_of(PlanMade)["moves"] == "MAP(VARCHAR, VARCHAR)[]"


def test_columns_stand_in_the_order_of_the_fields() -> None:
    assert list(columns_of(PlanMade))[:3] == ["made_at", "plan_id", "trigger"]


def test_every_event_has_its_own_table_and_columns() -> None:
    assert len({event_type.table for event_type in EVENT_TYPES}) == len(EVENT_TYPES)
    assert all(columns_of(event_type) for event_type in EVENT_TYPES)


def test_an_annotation_without_a_column_type_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"set\[str\]"):
        columns_of(Strange)

"""From an event struct to its table's columns: names and DuckDB types, from the annotations."""

import functools
import types
from typing import Literal, Union, get_args, get_origin

import msgspec

from analytics.events import Event

_SCALARS: dict[object, str] = {
    str: "VARCHAR",
    int: "BIGINT",
    float: "DOUBLE",
    bool: "BOOLEAN",
}


@functools.cache
def columns_of(event_type: type[Event]) -> dict[str, str]:
    """Column names and their DuckDB types, in the order of the struct's fields."""
    hints = msgspec.structs.fields(event_type)
    return {field.name: duckdb_type(field.type) for field in hints}


def duckdb_type(annotation: object) -> str:
    """The DuckDB type of one annotation. Every column admits NULL, so `X | None` is X."""
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "VARCHAR"
    if origin in (Union, types.UnionType):
        (present,) = [argument for argument in arguments if argument is not type(None)]
        return duckdb_type(present)
    if origin is list:
        return f"{duckdb_type(arguments[0])}[]"
    if origin is dict:
        return f"MAP({duckdb_type(arguments[0])}, {duckdb_type(arguments[1])})"
    raise TypeError(f"no column type for {annotation!r}")


def from_json_structure(event_type: type[Event]) -> str:
    """The structure argument of DuckDB's `from_json` for a JSON array of these events."""
    return "[" + msgspec.json.encode(columns_of(event_type)).decode() + "]"

"""The database's tables, views and macros, brought up to date at every start.

Tables follow the event structs: a struct that grew gets its new columns, and nothing is ever
dropped or retyped here. Views and macros hold no data and are replaced from `views/*.sql`.
"""

import importlib.resources

import duckdb

from analytics.columns import columns_of
from analytics.errors import StoreUnusable
from analytics.events import EVENT_TYPES, Event

_WRITERS = """
CREATE TABLE IF NOT EXISTS writers (
    writer_id VARCHAR PRIMARY KEY,
    source VARCHAR,
    sequence BIGINT,
    dropped BIGINT,
    written_at DOUBLE
)
"""
"""One row a writing process: its last committed batch, and how many events it gave up."""

_VIEW_FILES = (
    "present.sql",
    "load.sql",
    "squeeze.sql",
    "traffic.sql",
    "series.sql",
    "swaps.sql",
    "decisions.sql",
    "profiles.sql",
)
"""In order: later files use what earlier ones define."""


def apply_schema(connection: duckdb.DuckDBPyConnection) -> None:
    """Create what is missing, add new columns, replace views and macros: one transaction."""
    connection.begin()
    connection.execute(_WRITERS)
    for event_type in EVENT_TYPES:
        _apply_table(connection, event_type)
    views = importlib.resources.files(__package__) / "views"
    for name in _VIEW_FILES:
        connection.execute((views / name).read_text())
    connection.commit()


def _apply_table(connection: duckdb.DuckDBPyConnection, event_type: type[Event]) -> None:
    table, wanted = event_type.table, columns_of(event_type)
    columns = ", ".join(f"{name} {kind}" for name, kind in wanted.items())
    connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns})")
    rows = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ?", [table]
    ).fetchall()
    present: dict[str, str] = dict(rows)
    for name, kind in wanted.items():
        if name not in present:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
        elif present[name] != kind:
            raise StoreUnusable(
                f"it is {present[name]}, events are {kind}",
                where=f"column {name} of table {table}",
                fix="Give the changed field a new name, or move the database file away.",
            )

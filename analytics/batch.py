"""The SQL that stores one batch of events, and the question whether it was stored.

Text in, text out: no connection, no clock. Everything that is not a name from an event struct
goes through DuckDB's own quoting.
"""

from dataclasses import dataclass
from itertools import groupby

import msgspec

from analytics.client import literal
from analytics.columns import from_json_structure
from analytics.events import Event

COMMITTED = "SELECT 1 FROM writers WHERE writer_id = $writer_id AND sequence >= $sequence"
"""A row if the batch `sequence` of this writer is in the store."""


@dataclass(frozen=True)
class Mark:
    """How far a writer has come; kept in the table `writers`."""

    writer_id: str
    source: str
    sequence: int
    dropped: int


def transaction(events: list[Event], mark: Mark, now: float) -> str:
    """The whole batch as one text: a writer that dies leaves no transaction open in the store."""
    by_table = sorted(events, key=_table)
    inserts = [_insert(table, list(rows)) for table, rows in groupby(by_table, key=_table)]
    return ";\n".join(["BEGIN", _move(mark, now), *inserts, "COMMIT"])


def _table(event: Event) -> str:
    return event.table


def _move(mark: Mark, now: float) -> str:
    values = (mark.writer_id, mark.source, mark.sequence, mark.dropped, now)
    row = ", ".join(literal(value) for value in values)
    return (
        f"INSERT INTO writers (writer_id, source, sequence, dropped, written_at) VALUES ({row}) "  # noqa: S608 - quoted literals
        "ON CONFLICT (writer_id) DO UPDATE SET sequence = excluded.sequence, "
        "dropped = excluded.dropped, written_at = excluded.written_at"
    )


def _insert(table: str, rows: list[Event]) -> str:
    array = literal(msgspec.json.encode(rows).decode())
    structure = literal(from_json_structure(type(rows[0])))
    return (
        f"INSERT INTO {table} BY NAME "
        f"SELECT unnest(from_json({array}, {structure}), max_depth := 2)"
    )

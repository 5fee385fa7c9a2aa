"""Pages of the catalog's lists: where one begins, how long it is, whether more follows."""

import sqlite3
from collections.abc import Callable
from typing import Generic, Literal, TypeVar

import msgspec

from serving.batches.errors import NoSuchRecord

Order = Literal["asc", "desc"]
Record = TypeVar("Record")
_TABLES = {"file": "files", "batch": "batches"}


class Page(msgspec.Struct, Generic[Record], frozen=True):
    """A part of a list."""

    records: tuple[Record, ...]
    has_more: bool


class Place(msgspec.Struct, frozen=True):
    """Which part of a list: of an account (None: of all), after a record (None: from the start)."""

    account: str | None
    after_id: str | None
    limit: int
    order: Order


def read_page(
    rows: sqlite3.Connection,
    kind: str,
    place: Place,
    decode: Callable[[bytes], Record],
    where: str = "TRUE",
    given: tuple[object, ...] = (),
) -> Page[Record]:
    """The page at `place`, of records for which `where` holds. Raises NoSuchRecord."""
    beyond, direction = ("<", "DESC") if place.order == "desc" else (">", "ASC")
    begin = _position(rows, kind, place)
    found = rows.execute(
        f"SELECT record FROM {_TABLES[kind]} WHERE (? IS NULL OR account = ?) AND"  # noqa: S608 - constants
        f" (? IS NULL OR seq {beyond} ?) AND {where} ORDER BY seq {direction} LIMIT ?",
        (place.account, place.account, begin, begin, *given, place.limit + 1),
    ).fetchall()
    records = tuple(decode(row[0]) for row in found[: place.limit])
    return Page(records, len(found) > place.limit)


def _position(rows: sqlite3.Connection, kind: str, place: Place) -> int | None:
    """Where the page begins; None: at the list's start."""
    if place.after_id is None:
        return None
    found = rows.execute(
        f"SELECT seq FROM {_TABLES[kind]} WHERE id = ? AND (? IS NULL OR account = ?)",  # noqa: S608 - constants
        (place.after_id, place.account, place.account),
    ).fetchone()
    if found is None:
        raise NoSuchRecord(kind, place.after_id)
    return int(found[0])

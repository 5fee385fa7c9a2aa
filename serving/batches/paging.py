"""Pages of a list, as the API asks for them."""

from typing import Generic, Literal, TypeVar

import msgspec

Order = Literal["asc", "desc"]
Record = TypeVar("Record")


class Page(msgspec.Struct, Generic[Record], frozen=True):
    """A part of a list."""

    records: tuple[Record, ...]
    has_more: bool

"""Reading the files of a batch that ended: accounting for its lines, and a sample of them."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import msgspec

from orchestration.batch.spoken import spoken

SAMPLE_RECORDS = 5
SAMPLE_CHARACTERS = 200


class Accounting(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the files."""

    output: int
    errors: int
    doubled: int
    """Records whose custom id another record has too."""

    def is_whole(self, lines: int) -> bool:
        """Whether every one of so many lines has exactly one record."""
        return self.output + self.errors == lines and not self.doubled


class _Named(msgspec.Struct, frozen=True):
    custom_id: str


class _Said(msgspec.Struct, frozen=True):
    custom_id: str
    response: msgspec.Raw
    error: msgspec.Raw


_named = msgspec.json.Decoder(_Named)
_said = msgspec.json.Decoder(_Said)


def account(output: Path | None, errors: Path | None) -> Accounting:
    """Count the records; only hashes of custom ids are held."""
    seen: set[int] = set()
    counts = []
    for path in (output, errors):
        ids = [] if path is None else (hash(_named.decode(line).custom_id) for line in _lines(path))
        counts.append(_count(ids, seen))
    return Accounting(output=counts[0], errors=counts[1], doubled=sum(counts) - len(seen))


def sample(path: Path | None) -> list[dict[str, str]]:
    """The first records of a file, cut to what a table shows."""
    if path is None:
        return []
    return [
        {
            "custom_id": record.custom_id,
            "said": cut(spoken(record.response, record.error)),
        }
        for record in map(_said.decode, islice(_lines(path), SAMPLE_RECORDS))
    ]


def _count(ids: Iterable[int], seen: set[int]) -> int:
    count = 0
    for one in ids:
        count += 1
        seen.add(one)
    return count


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def cut(text: str) -> str:
    """A text, or its beginning where it is longer than a table shows."""
    return text if len(text) <= SAMPLE_CHARACTERS else text[:SAMPLE_CHARACTERS] + "…"

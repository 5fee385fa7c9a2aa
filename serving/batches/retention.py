"""Which batches and files are to go. Pure.

A batch goes so long after its end, a file when its own time is over. A file that a batch wrote and
that has no time of its own goes with it. Nothing goes that an open batch reads or has written.
"""

from collections.abc import Iterable

import msgspec

from serving.batches.records import BatchRecord, FileRecord


class Due(msgspec.Struct, frozen=True):
    """Ids of what is to go now."""

    batches: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()


def due(
    batches: Iterable[BatchRecord], files: Iterable[FileRecord], *, now: float, retention_s: float
) -> Due:
    """What of these is to go at `now`; `batches` has every open one."""
    gone: set[str] = set()
    open_ids: set[str] = set()
    read: set[str] = set()
    for record in batches:
        if not record.is_terminal:
            open_ids.add(record.id)
            read.add(record.input_file_id)
        elif record.ended_at is not None and record.ended_at + retention_s <= now:
            gone.add(record.id)

    def goes(file: FileRecord) -> bool:
        if file.id in read or file.batch_id in open_ids:
            return False
        return file.is_expired(now) if file.expires_at is not None else file.batch_id in gone

    return Due(frozenset(gone), frozenset(file.id for file in files if goes(file)))

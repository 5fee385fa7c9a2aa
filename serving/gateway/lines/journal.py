"""The file of partial generations: records appended, read back up to where a crash cut it.

Bytes and files only; what the records mean to a generation is `serving.gateway.lines.partials`. A
record is a length, a checksum and MessagePack. A record that is not whole ends what is read: what
was appended after it was never synced.
"""

import fcntl
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from struct import Struct
from typing import BinaryIO

import msgspec
import structlog

from serving.gateway.lines.suspicion import Suspicion
from serving.wire import Tokens

_MAGIC = b"turntable partials 1\n"
_HEAD = Struct("<II")
"""Length and CRC-32 of what follows."""

log = structlog.get_logger(__name__)


class Grown(msgspec.Struct, frozen=True, tag="grown", array_like=True):
    """The generation `name` has these tokens more. Another fingerprint is another generation."""

    name: str
    fingerprint: bytes
    tokens: Tokens


class Suspected(msgspec.Struct, frozen=True, tag="suspected", array_like=True):
    """What engines' deaths say against the generation `name`, up to now."""

    name: str
    fingerprint: bytes
    suspicion: Suspicion


class Ended(msgspec.Struct, frozen=True, tag="ended", array_like=True):
    """Forget the generation `name`."""

    name: str


Record = Grown | Suspected | Ended

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


def encoded(record: Record) -> bytes:
    """A record as it stands in the file."""
    payload = _encoder.encode(record)
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def decoded(content: bytes) -> Iterator[tuple[Record, int]]:
    """The whole records at the begin of `content` (after its magic), each with where it ends."""
    at = len(_MAGIC)
    if content[:at] != _MAGIC:
        return
    while at + _HEAD.size <= len(content):
        length, checksum = _HEAD.unpack_from(content, at)
        payload = content[at + _HEAD.size : at + _HEAD.size + length]
        if len(payload) < length or zlib.crc32(payload) != checksum:
            return
        at += _HEAD.size + length
        try:
            record = _decoder.decode(payload)
        except msgspec.MsgspecError:
            return  # of another version, as is all that follows
        yield record, at


class Journal:
    """The journal in one folder; this process alone writes it until it is closed."""

    def __init__(self, folder: Path) -> None:
        """Raises BlockingIOError while another process has it."""
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "journal"
        self._lock = (folder / "lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise
        self._file: BinaryIO | None = None
        self.size_bytes = 0

    def read(self) -> Iterator[Record]:
        """What earlier processes wrote. Rewrite it before anything is appended."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return
        end = min(len(content), len(_MAGIC))
        for record, end in decoded(content):  # noqa: B007 - where the last one ends
            yield record
        if end < len(content):
            log.info("partials_cut", file=str(self._path), lost_bytes=len(content) - end)

    def append(self, records: Iterable[Record]) -> None:
        """Add records and sync them; one write for all. Raises OSError; then rewrite."""
        assert self._file is not None, "a journal is rewritten before it is appended to"
        content = b"".join(map(encoded, records))
        self._file.write(content)
        self._file.flush()
        os.fdatasync(self._file.fileno())
        self.size_bytes += len(content)

    def rewrite(self, records: Iterable[Record]) -> None:
        """Replace everything, at once or not at all. Raises OSError."""
        draft = self._path.with_suffix(".draft")
        file = draft.open("wb")
        try:
            file.write(_MAGIC + b"".join(map(encoded, records)))
            file.flush()
            os.fsync(file.fileno())
            draft.replace(self._path)
            _sync_folder(self._path.parent)
        except OSError:
            file.close()
            raise
        self._close_file()
        self._file, self.size_bytes = file, file.tell()

    def close(self) -> None:
        """Let another process have it."""
        self._close_file()
        self._lock.close()

    def _close_file(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

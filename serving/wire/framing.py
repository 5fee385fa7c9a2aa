"""Frames on a byte stream: four bytes of length (big-endian), then the frame as msgpack.

Also parcels: frames of many streams that share one byte stream, which is a trunk then.
"""

import struct
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgspec

from serving.errors import WireError
from serving.wire.generation import Frame

TRUNK_HEADER = "Turntable-Trunk"
"""By which trunk, and as which of its streams, frames are to come; said again in the answer."""

Parcel = list[tuple[int, Frame | None]]
"""Frames in order, each with the number of its stream. None is the end of a stream."""

T = TypeVar("T")

_LENGTH = struct.Struct(">I")
_MAX_FRAME_BYTES = 64 * 1024 * 1024
_encoder = msgspec.msgpack.Encoder()


def encode_frame(frame: Frame) -> bytes:
    """One frame's bytes."""
    return _framed(frame)


def encode_parcel(parcel: Parcel) -> bytes:
    """One parcel's bytes."""
    return _framed(parcel)


def _framed(content: object) -> bytes:
    body = _encoder.encode(content)
    return _LENGTH.pack(len(body)) + body


class _Decoder(Generic[T]):
    """Takes bytes as they come and yields what is whole, in order."""

    def __init__(self, kind: "msgspec.msgpack.Decoder[T]", peer: str) -> None:
        self._kind, self._peer = kind, peer
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[T]:
        """What is completed by `data`. Raises WireError on bytes that are nothing of the kind."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > _MAX_FRAME_BYTES:
                raise self._error(f"a frame of {length} bytes was announced")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            try:
                yield self._kind.decode(body)
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                raise self._error(str(error)) from error

    def _error(self, what: str) -> WireError:
        return WireError(what, where=self._peer, fix="Check that this address is an engine host's.")


class FrameDecoder(_Decoder[Frame]):
    """Takes the bytes of one stream and yields its frames."""

    _frames: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Frame)

    def __init__(self, *, peer: str) -> None:
        super().__init__(self._frames, peer)


class ParcelDecoder(_Decoder[Parcel]):
    """Takes the bytes of a trunk and yields its parcels."""

    _parcels: msgspec.msgpack.Decoder[Parcel] = msgspec.msgpack.Decoder(Parcel)

    def __init__(self, *, peer: str) -> None:
        super().__init__(self._parcels, peer)

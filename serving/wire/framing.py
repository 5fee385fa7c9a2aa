"""Frames on a byte stream: four bytes of length (big-endian), then the frame as msgpack."""

import struct
from collections.abc import Iterator

import msgspec

from serving.errors import WireError
from serving.wire.generation import Frame

_LENGTH = struct.Struct(">I")
_MAX_FRAME_BYTES = 64 * 1024 * 1024
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)


def encode_frame(frame: Frame) -> bytes:
    """One frame's bytes."""
    body = _encoder.encode(frame)
    return _LENGTH.pack(len(body)) + body


class FrameDecoder:
    """Takes bytes as they come and yields whole frames in order."""

    def __init__(self, *, peer: str) -> None:
        self._peer = peer
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames completed by `data`. Raises WireError on bytes that are no frame."""
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
                yield _decoder.decode(body)
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                raise self._error(str(error)) from error

    def _error(self, what: str) -> WireError:
        return WireError(what, where=self._peer, fix="Check that this address is an engine host's.")

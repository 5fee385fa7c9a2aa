"""Taking an upload in: a form whose file goes to the disk as it comes.

The file's bytes pass through a draft of the file store; of the request at most a block is in
memory.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping

import msgspec
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from serving.batches import Draft
from serving.gateway.batches.asked import refused
from serving.gateway.failures import Refusal, RequestRefused

BLOCK_BYTES = 1024 * 1024
"""Parsed and written at a time, off the event loop."""
MAX_FIELDS_BYTES = 64 * 1024
"""Of a form's fields, and of what surrounds its parts."""
FILE_FIELD = "file"


class Form(msgspec.Struct):
    """What came beside the file's content."""

    fields: dict[str, str]
    filename: str | None = None
    """None: there was no file."""


async def receive_form(
    content_type: str, chunks: AsyncIterator[bytes], draft: Draft, *, max_file_bytes: int
) -> Form:
    """Read a form to its end; the file's content goes into `draft`. Raises RequestRefused."""
    reader = _FormReader(_boundary(content_type), draft)
    limit = max_file_bytes + MAX_FIELDS_BYTES
    received, block = 0, bytearray()
    async for chunk in chunks:
        received += len(chunk)
        if received > limit:
            # Read on for as much again: a client that is still sending would miss the answer.
            block.clear()
            if received > 2 * limit:
                break
            continue
        block += chunk
        if len(block) >= BLOCK_BYTES:
            await asyncio.to_thread(reader.feed, bytes(block))
            block.clear()
    if received <= limit:
        await asyncio.to_thread(reader.feed, bytes(block))
    if received > limit or draft.size_bytes > max_file_bytes:
        raise too_large(max_file_bytes)
    return reader.form()


def too_large(max_file_bytes: int) -> RequestRefused:
    """The file is above the limit."""
    message = f"the file is larger than {max_file_bytes} bytes"
    return RequestRefused(
        Refusal(413, message, "file_too_large", FILE_FIELD),
        where="upload",
        fix="Make several files of it.",
    )


class _FormReader:
    """Parses a form block by block."""

    def __init__(self, boundary: bytes, draft: Draft) -> None:
        self._draft = draft
        self._form = Form({})
        self._header_name = self._header_value = b""
        self._headers: dict[bytes, bytes] = {}
        self._field: str | None = None
        self._value = bytearray()
        self._small_bytes = 0
        self._ended = False
        self._parser = self._parser_of(boundary)

    def feed(self, block: bytes) -> None:
        """Parse a block. Raises RequestRefused."""
        try:
            self._parser.write(block)
        except FormParserError as error:
            raise _no_form(error) from error

    def form(self) -> Form:
        """The form, after its last block. Raises RequestRefused."""
        if not self._ended:
            raise refused("the body ends in the middle of the form", None)
        return self._form

    def _parser_of(self, boundary: bytes) -> MultipartParser:
        try:
            return MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._add_header_name,
                    "on_header_value": self._add_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._begin_content,
                    "on_part_data": self._add_content,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise _no_form(error) from error

    def _begin_part(self) -> None:
        self._headers.clear()
        self._value.clear()

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _begin_content(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._field = _decoded(options.get(b"name", b""))
        if self._field == FILE_FIELD:
            if self._form.filename is not None:
                raise refused("the form has more than one file", FILE_FIELD)
            self._form.filename = _decoded(options.get(b"filename", b"")) or "upload.jsonl"

    def _add_content(self, data: bytes, start: int, end: int) -> None:
        content = memoryview(data)[start:end]
        if self._field == FILE_FIELD:
            self._draft.write(content)
            return
        self._small_bytes += len(content)
        if self._small_bytes > MAX_FIELDS_BYTES:
            raise refused("the form's fields are too large", self._field)
        self._value += content

    def _end_part(self) -> None:
        if self._field and self._field != FILE_FIELD:
            self._form.fields[self._field] = _decoded(bytes(self._value))

    def _end(self) -> None:
        self._ended = True


def fields_of(form: Form, name: str) -> Mapping[str, str]:
    """The fields `name[key]` of a form, by key."""
    prefix = f"{name}["
    return {
        field[len(prefix) : -1]: value
        for field, value in form.fields.items()
        if field.startswith(prefix) and field.endswith("]")
    }


def _no_form(error: FormParserError) -> RequestRefused:
    return refused(f"the body is not a multipart form: {error}", None)


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise refused("an upload is a form: the Content-Type must be multipart/form-data", None)
    return boundary


def _decoded(value: bytes) -> str:
    return value.decode("utf-8", "replace")

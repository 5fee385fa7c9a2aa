"""`/v1/files`: uploading, listing, reading and deleting files."""

import asyncio
from collections.abc import Mapping
from typing import get_args

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from serving.batches import Catalog, FileStore, Purpose
from serving.gateway.batches.asked import (
    LISTED_FILES,
    LONGEST_EXPIRY_S,
    read_expiry_s,
    read_page,
    refused,
)
from serving.gateway.batches.forms import deleted_file, file_object, page_object
from serving.gateway.batches.uploads import MAX_FIELDS_BYTES, fields_of, receive_form, too_large

MAX_FILE_BYTES = 200 * 1024 * 1024
UPLOADED: Purpose = "batch"
EXPIRES_AFTER_S = LONGEST_EXPIRY_S
"""Of an upload that does not say; what batches write is kept until it is deleted."""


class FileRoutes:
    """The files of a gateway."""

    def __init__(
        self, catalog: Catalog, files: FileStore, *, max_file_bytes: int = MAX_FILE_BYTES
    ) -> None:
        self._catalog, self._files, self._max_file_bytes = catalog, files, max_file_bytes

    async def upload(self, request: Request, account: str) -> Response:
        """`POST /v1/files`."""
        announced = request.headers.get("content-length", "0")
        if announced.isdigit() and int(announced) > 2 * (self._max_file_bytes + MAX_FIELDS_BYTES):
            raise too_large(self._max_file_bytes)
        with self._files.draft() as draft:
            form = await receive_form(
                request.headers.get("content-type", ""),
                request.stream(),
                draft,
                max_file_bytes=self._max_file_bytes,
            )
            if form.filename is None:
                raise refused("the form has no file", "file", "missing_required_parameter")
            _check_purpose(form.fields)
            record = await asyncio.to_thread(
                self._files.keep,
                draft,
                account=account,
                purpose=UPLOADED,
                filename=form.filename,
                expires_after_s=_expiry_s(fields_of(form, "expires_after")),
            )
        return JSONResponse(file_object(record))

    async def list(self, request: Request, account: str) -> Response:
        """`GET /v1/files`."""
        asked = read_page(request.query_params, LISTED_FILES)
        page = await asyncio.to_thread(
            self._catalog.files,
            account=account,
            purpose=request.query_params.get("purpose"),
            after_id=asked.after_id,
            limit=asked.limit,
            order=asked.order,
        )
        return JSONResponse(page_object(page, file_object))

    async def retrieve(self, request: Request, account: str) -> Response:
        """`GET /v1/files/{id}`."""
        file_id = request.path_params["file_id"]
        record = await asyncio.to_thread(self._catalog.file, file_id, account=account)
        return JSONResponse(file_object(record))

    async def content(self, request: Request, account: str) -> Response:
        """`GET /v1/files/{id}/content`, read from the disk as it is sent."""
        file_id = request.path_params["file_id"]
        record = await asyncio.to_thread(self._catalog.file, file_id, account=account)
        return FileResponse(
            self._files.path(file_id),
            media_type="application/octet-stream",
            filename=record.filename,
        )

    async def delete(self, request: Request, account: str) -> Response:
        """`DELETE /v1/files/{id}`. A file that a batch still reads stays."""
        file_id = request.path_params["file_id"]
        await asyncio.to_thread(self._files.remove, file_id, account=account)
        return JSONResponse(deleted_file(file_id))


def _check_purpose(fields: Mapping[str, str]) -> None:
    purpose = fields.get("purpose")
    if not purpose:
        message = "you must provide a purpose parameter"
        raise refused(message, "purpose", "missing_required_parameter")
    if purpose != UPLOADED:
        kept = "; batches write it" if purpose in get_args(Purpose) else ""
        message = f"files of the purpose {purpose!r} cannot be uploaded{kept}; only batch can"
        raise refused(message, "purpose", "invalid_value")


def _expiry_s(fields: Mapping[str, str]) -> int:
    if not fields:
        return EXPIRES_AFTER_S
    seconds = fields.get("seconds", "")
    known = seconds.isascii() and seconds.isdigit() and len(seconds) < 10
    return read_expiry_s(fields.get("anchor"), int(seconds) if known else None, "expires_after")

"""`/v1/batches`: creating, listing, reading and cancelling batches."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import Response

from serving.batches import BatchRecord, CancelAsked, Catalog, new_batch_id
from serving.gateway.batches.answers import answer_with
from serving.gateway.batches.asked import (
    LISTED_BATCHES,
    BatchAsked,
    read_batch,
    read_idempotency_key,
    read_page,
    refused,
)
from serving.gateway.batches.forms import batch_object, page_object

MAX_CREATION_BYTES = 256 * 1024
"""More than metadata at its limits needs, in whatever way its characters are escaped."""

log = structlog.get_logger(__name__)


class BatchRoutes:
    """The batches of a gateway. `created` is told of every new one."""

    def __init__(self, catalog: Catalog, created: Callable[[str], None]) -> None:
        self._catalog, self._created = catalog, created

    async def create(self, request: Request, account: str) -> Response:
        """`POST /v1/batches`. With an `Idempotency-Key`, again: the same batch as before."""
        key = read_idempotency_key(request.headers.get("idempotency-key"))
        record = _new_record(read_batch(await _read_body(request)), account, key)
        kept = await asyncio.to_thread(self._catalog.create_batch, record)
        if kept.id == record.id:
            log.info("batch_created", batch=kept.id, account=account, window=kept.completion_window)
            self._created(kept.id)
        return await answer_with(lambda: batch_object(kept))

    async def list(self, request: Request, account: str) -> Response:
        """`GET /v1/batches`."""
        asked = read_page(request.query_params, LISTED_BATCHES)

        def listed() -> dict[str, Any]:
            page = self._catalog.batches(
                account=account, after_id=asked.after_id, limit=asked.limit, order=asked.order
            )
            return page_object(page, batch_object)

        return await answer_with(listed)

    async def retrieve(self, request: Request, account: str) -> Response:
        """`GET /v1/batches/{id}`."""
        batch_id = request.path_params["batch_id"]
        return await answer_with(
            lambda: batch_object(self._catalog.batch(batch_id, account=account))
        )

    async def cancel(self, request: Request, account: str) -> Response:
        """`POST /v1/batches/{id}/cancel`. Again: nothing more happens."""
        batch_id = request.path_params["batch_id"]
        log.info("batch_cancel_asked", batch=batch_id, account=account)
        return await answer_with(
            lambda: batch_object(self._catalog.apply(batch_id, CancelAsked(), account=account))
        )


def _new_record(asked: BatchAsked, account: str, key: str | None) -> BatchRecord:
    now = int(time.time())
    return BatchRecord(
        id=new_batch_id(),
        account=account,
        input_file_id=asked.input_file_id,
        endpoint=asked.endpoint,
        completion_window=asked.completion_window,
        created_at=now,
        expires_at=now + asked.window_s,
        metadata=asked.metadata,
        output_expires_after_s=asked.output_expires_after_s,
        idempotency_key=key,
    )


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_CREATION_BYTES:
            raise refused("the body is too large for the creation of a batch", None)
    return bytes(body)

"""Batches as the gateway leaves them for a run: validated, with an index of their lines."""

import json
import time
from collections.abc import Sequence

from serving.batches import (
    INDEX_NAME,
    BatchRecord,
    Catalog,
    FileStore,
    IndexWriter,
    Validated,
    new_batch_id,
)
from serving.config import StateFolder

ENDPOINT = "/v1/chat/completions"


def a_line(number: int, model: str) -> bytes:
    messages = [{"role": "user", "content": f"question {number}"}]
    return json.dumps(
        {
            "custom_id": f"row-{number}",
            "method": "POST",
            "url": ENDPOINT,
            "body": {"model": model, "messages": messages},
        }
    ).encode()


def submit(
    state: StateFolder,
    count: int,
    *,
    model: str = "a",
    window_s: int = 86_400,
    validated: bool = True,
) -> BatchRecord:
    """A batch of `count` lines that ask `question <n>`."""
    catalog = Catalog(state.batch_catalog)
    lines = [a_line(number, model) for number in range(count)]
    now = int(time.time())
    record = BatchRecord(
        id=new_batch_id(),
        account="ada",
        input_file_id=_upload(state, catalog, lines),
        endpoint=ENDPOINT,
        completion_window=f"{window_s}s",
        created_at=now,
        expires_at=now + window_s,
    )
    catalog.create_batch(record)
    if validated:
        _index(lines, state, record)
        record = catalog.apply(record.id, Validated(model, count))
    catalog.close()
    return record


def look(state: StateFolder, batch_id: str) -> BatchRecord:
    """The batch as it is now."""
    catalog = Catalog(state.batch_catalog)
    try:
        return catalog.batch(batch_id)
    finally:
        catalog.close()


def _upload(state: StateFolder, catalog: Catalog, lines: Sequence[bytes]) -> str:
    store = FileStore(state.batch_files, catalog)
    with store.draft() as draft:
        for line in lines:
            draft.write(line + b"\n")
        return store.keep(draft, account="ada", purpose="batch", filename="in.jsonl").id


def _index(lines: Sequence[bytes], state: StateFolder, record: BatchRecord) -> None:
    index, offset = IndexWriter(), 0
    for line in lines:
        index.add(offset, len(line))
        offset += len(line) + 1
    index.save(state.batch_work(record.id) / INDEX_NAME)

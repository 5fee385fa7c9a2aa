"""Records, inputs and stores for tests of batches."""

import io
import json
from pathlib import Path
from typing import Any

from serving.batches import (
    BatchRecord,
    BodyCheck,
    Catalog,
    FileRecord,
    FileStore,
    IndexWriter,
    Report,
    Rules,
    validate,
)

ENDPOINT = "/v1/chat/completions"
NOW = 1_800_000_000


class Clock:
    """Tells the time it was told."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def file_record(file_id: str = "file-1", **fields: Any) -> FileRecord:
    given = {"account": "", "purpose": "batch", "filename": "in.jsonl", "bytes": 1}
    return FileRecord(id=file_id, **{**given, "created_at": NOW, **fields})


def batch_record(batch_id: str = "batch_1", **fields: Any) -> BatchRecord:
    given = {
        "account": "",
        "input_file_id": "file-1",
        "endpoint": ENDPOINT,
        "completion_window": "24h",
        "created_at": NOW,
        "expires_at": NOW + 24 * 3600,
    }
    return BatchRecord(id=batch_id, **{**given, **fields})


def catalog_in(folder: Path, clock: Clock | None = None) -> Catalog:
    return Catalog(folder / "catalog.sqlite", clock=clock or Clock())


def store_in(folder: Path, clock: Clock | None = None) -> tuple[Catalog, FileStore]:
    clock = clock or Clock()
    catalog = catalog_in(folder, clock)
    return catalog, FileStore(folder / "files", catalog, clock=clock)


def put(store: FileStore, content: bytes, **fields: Any) -> FileRecord:
    with store.draft() as draft:
        draft.write(content)
        given = {"account": "", "purpose": "batch", "filename": "in.jsonl"}
        return store.keep(draft, **{**given, **fields})


def line(custom_id: Any = "a", model: Any = "small", **changes: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
    given = {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": body}
    return {name: value for name, value in {**given, **changes}.items() if value is not ...}


def jsonl(*lines: Any) -> bytes:
    return b"".join(
        each if isinstance(each, bytes) else json.dumps(each).encode() + b"\n" for each in lines
    )


def validated(
    content: bytes, check: BodyCheck = lambda _body: None, index: IndexWriter | None = None
) -> Report:
    rules = Rules(ENDPOINT, frozenset({"small", "large"}), check)
    return validate(io.BytesIO(content), rules, index or IndexWriter(), lambda: None)

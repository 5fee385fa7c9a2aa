"""What tests of the Files and Batches API share: inputs, clients, and who runs batches."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import openai
from openai.types import Batch, FileObject

from serving.batches import BatchEvent, BatchRecord, Catalog, FileStore, Purpose
from serving.config import StateFolder
from tests.fakes.host import wait_until
from tests.gateway.conftest import EXACT

CHAT = "/v1/chat/completions"
EXTENSIONS = {"Batch": {"expected_s"}}
"""What our objects have beyond OpenAI's."""


def chat_line(custom_id: str, **changes: Any) -> dict[str, Any]:
    body = {"model": EXACT, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": {**body, **changes}}


def jsonl(*lines: dict[str, Any] | str) -> bytes:
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    return "".join(f"{text}\n" for text in texts).encode()


def upload(client: openai.OpenAI, content: bytes, **options: Any) -> FileObject:
    return client.files.create(file=("in.jsonl", content), purpose="batch", **options)


def submit(client: openai.OpenAI, content: bytes, **options: Any) -> Batch:
    given = {"endpoint": CHAT, "completion_window": "24h", **options}
    return client.batches.create(input_file_id=upload(client, content).id, **given)


def settled(client: openai.OpenAI, batch: Batch) -> Batch:
    """The batch once it has been validated."""
    wait_until(lambda: client.batches.retrieve(batch.id).status != "validating")
    return client.batches.retrieve(batch.id)


class Runs:
    """Does with batches what the control plane does: says what happened, and writes files."""

    def __init__(self, state: StateFolder) -> None:
        self.catalog = Catalog(state.batch_catalog)
        self.files = FileStore(state.batch_files, self.catalog)

    def say(self, batch: Batch, *events: BatchEvent) -> BatchRecord:
        for event in events:
            record = self.catalog.apply(batch.id, event)
        return record

    def write(self, batch: Batch, content: bytes, purpose: Purpose = "batch_output") -> str:
        account = self.catalog.batch(batch.id).account
        with self.files.draft() as draft:
            draft.write(content)
            kept = self.files.keep(
                draft, account=account, purpose=purpose, filename="out.jsonl", batch_id=batch.id
            )
        return kept.id


@cache
def _schema() -> dict[str, Any]:
    path = Path(__file__).with_name("openai_batch_schema.json")
    schema: dict[str, Any] = json.loads(path.read_text())
    return schema


def check_form(name: str, answer: Any) -> None:
    """Raises if `answer` is not of OpenAI's published form."""
    schema = {"$ref": f"#/$defs/{name}", "$defs": _schema()["$defs"]}
    jsonschema.validate(answer, schema)
    unknown = set(answer) - set(_schema()["$defs"][name]["properties"])
    assert unknown <= EXTENSIONS.get(name, set())

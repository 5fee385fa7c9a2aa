"""A file becomes a batch, a run, and a file again, through real engines and Dagster (float32)."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai.types import Batch

from tests.end_to_end.control_plane import ControlPlane
from tests.end_to_end.pool import Pool, until

pytestmark = pytest.mark.vllm

ROWS = 32
TOKENS = 64
LIMIT_S = 300.0


def line(number: int) -> dict[str, Any]:
    return {
        "custom_id": f"row-{number}",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "model": "exact",
            "messages": [{"role": "user", "content": f"Tell me a story about {number} ships."}],
            "max_tokens": TOKENS,
            "temperature": 0,
            "ignore_eos": True,
        },
    }


@pytest.fixture
def control_plane(pool: Pool) -> Iterator[ControlPlane]:
    with ControlPlane(pool) as running:
        yield running


def submit(pool: Pool) -> str:
    lines = "".join(json.dumps(line(number)) + "\n" for number in range(ROWS))
    file = pool.openai.files.create(file=("rows.jsonl", lines.encode()), purpose="batch")
    batch = pool.openai.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    return batch.id


def done(pool: Pool, batch_id: str) -> int:
    counts = pool.openai.batches.retrieve(batch_id).request_counts
    return counts.completed if counts is not None else 0


def completed(pool: Pool, batch_id: str) -> Batch | None:
    batch = pool.openai.batches.retrieve(batch_id)
    assert batch.status in {"validating", "in_progress", "finalizing", "completed"}, batch
    return batch if batch.status == "completed" else None


def answers(pool: Pool, batch: Batch) -> list[tuple[str, str]]:
    assert batch.error_file_id is None
    assert batch.output_file_id is not None
    content = pool.openai.files.content(batch.output_file_id).read()
    records = [json.loads(text) for text in content.splitlines()]
    return [
        (record["custom_id"], record["response"]["body"]["choices"][0]["message"]["content"])
        for record in records
    ]


@pytest.mark.timeout(3 * LIMIT_S)
def test_a_batch_whose_run_is_killed_completes_with_every_row_once(
    pool: Pool, control_plane: ControlPlane
) -> None:
    alone = httpx.post(f"{pool.url}/v1/chat/completions", json=line(0)["body"], timeout=LIMIT_S)
    batch_id = submit(pool)
    until(lambda: done(pool, batch_id), "rows are done", LIMIT_S)
    control_plane.kill_batch_run()
    batch = until(lambda: completed(pool, batch_id), "the batch is completed", LIMIT_S)
    rows = answers(pool, batch)
    assert Counter(custom_id for custom_id, _ in rows) == {f"row-{n}": 1 for n in range(ROWS)}
    assert dict(rows)["row-0"] == alone.json()["choices"][0]["message"]["content"]
    assert batch.request_counts.completed == ROWS

"""A file becomes a batch, a run, and a file again, through real engines and Dagster (float32)."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai.types import Batch

from tests.end_to_end.control_plane import ControlPlane
from tests.end_to_end.pool import REQUEST_LIMIT_S, TEST_LIMIT_S, Pool, until

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(2 * TEST_LIMIT_S)]

ROWS = 32
TOKENS = 64
COMPLETED_S = 600.0
ROUNDS = 5
"""A batch may end before its run is killed; then a larger one is tried."""


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


def submit(pool: Pool, rows: int) -> str:
    lines = "".join(json.dumps(line(number)) + "\n" for number in range(rows))
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


def killed_in_its_middle(pool: Pool, control_plane: ControlPlane, batch_id: str) -> bool:
    """Kill the batch's run when a row is done; whether that was before the last one was."""
    until(lambda: done(pool, batch_id), "rows are done")
    until(
        lambda: control_plane.kill_batch_run() or completed(pool, batch_id),
        "a run works on the batch, or it is completed",
    )
    return completed(pool, batch_id) is None


def with_its_run_killed(pool: Pool, control_plane: ControlPlane) -> tuple[str, int]:
    """A batch whose run was killed in its middle, and how many rows it has."""
    for growth in range(ROUNDS):
        rows = ROWS * 2**growth
        batch_id = submit(pool, rows)
        if killed_in_its_middle(pool, control_plane, batch_id):
            return batch_id, rows
    raise AssertionError(f"no run of a batch could be killed in {ROUNDS} rounds")


def test_a_batch_whose_run_is_killed_completes_with_every_row_once(
    pool: Pool, control_plane: ControlPlane
) -> None:
    alone = httpx.post(
        f"{pool.url}/v1/chat/completions", json=line(0)["body"], timeout=REQUEST_LIMIT_S
    )
    batch_id, rows = with_its_run_killed(pool, control_plane)
    batch = until(lambda: completed(pool, batch_id), "the batch is completed", COMPLETED_S)
    said = answers(pool, batch)
    assert Counter(custom_id for custom_id, _ in said) == {f"row-{n}": 1 for n in range(rows)}
    assert dict(said)["row-0"] == alone.json()["choices"][0]["message"]["content"]
    assert batch.request_counts is not None
    assert batch.request_counts.completed == rows

"""The Batches API, driven by OpenAI's own client through every state and error."""

import json
from typing import Any

import openai
import pytest
from openai.types import Batch

from serving.batches import (
    BatchError,
    Cancelled,
    Completed,
    Expired,
    Failed,
    Finalizing,
    Progress,
    Usage,
)
from tests.gateway.batch_clients import (
    CHAT,
    Runs,
    chat_line,
    check_form,
    jsonl,
    settled,
    submit,
    upload,
)
from tests.gateway.conftest import ABSENT, EXACT, GatewayThread, Stage

TWO = jsonl(chat_line("a"), chat_line("b"))


@pytest.fixture
def client(stage: Stage) -> openai.OpenAI:
    return stage.openai(_strict_response_validation=True)


@pytest.fixture
def runs(stage: Stage) -> Runs:
    return Runs(stage.gateway.state)


@pytest.fixture
def in_progress(client: openai.OpenAI) -> Batch:
    return settled(client, submit(client, TWO))


def test_a_batch_goes_from_validating_to_completed(client: openai.OpenAI, runs: Runs) -> None:
    batch = submit(client, TWO, metadata={"night": "1"})
    assert (batch.status, batch.object, batch.endpoint) == ("validating", "batch", CHAT)
    assert batch.expires_at == batch.created_at + 24 * 3600

    batch = settled(client, batch)
    assert (batch.status, batch.model, batch.metadata) == ("in_progress", EXACT, {"night": "1"})
    assert batch.request_counts is not None
    assert batch.request_counts.total == 2

    usage = Usage(input_tokens=7, cached_tokens=2, output_tokens=3, reasoning_tokens=1)
    runs.say(batch, Progress(completed=1, failed=1, usage=usage), Finalizing())
    assert client.batches.retrieve(batch.id).status == "finalizing"
    output, error = runs.write(batch, b"out\n"), runs.write(batch, b"err\n")
    runs.say(batch, Completed(output, error))

    batch = client.batches.retrieve(batch.id)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)
    assert batch.usage is not None
    assert (batch.usage.total_tokens, batch.usage.input_tokens_details.cached_tokens) == (10, 2)
    for at in (batch.in_progress_at, batch.finalizing_at, batch.completed_at):
        assert at is not None
    assert batch.output_file_id is not None
    assert batch.error_file_id is not None
    assert client.files.content(batch.output_file_id).read() == b"out\n"
    assert client.files.content(batch.error_file_id).read() == b"err\n"
    assert client.files.retrieve(batch.output_file_id).purpose == "batch_output"


def test_a_batch_can_be_cancelled(client: openai.OpenAI, runs: Runs, in_progress: Batch) -> None:
    asked = client.batches.cancel(in_progress.id)
    assert (asked.status, asked.cancelling_at is not None) == ("cancelling", True)
    assert client.batches.cancel(in_progress.id) == asked, "asked again, nothing more happens"

    runs.say(in_progress, Cancelled(runs.write(in_progress, b"out\n"), None))

    ended = client.batches.retrieve(in_progress.id)
    assert (ended.status, ended.cancelled_at is not None) == ("cancelled", True)
    assert ended.output_file_id is not None


def test_a_batch_can_expire(client: openai.OpenAI, runs: Runs, in_progress: Batch) -> None:
    runs.say(in_progress, Expired(None, runs.write(in_progress, b"err\n")))

    ended = client.batches.retrieve(in_progress.id)
    assert (ended.status, ended.expired_at is not None) == ("expired", True)


def test_a_batch_that_could_not_be_run_has_failed(
    client: openai.OpenAI, runs: Runs, in_progress: Batch
) -> None:
    runs.say(in_progress, Failed((BatchError(code="run_failed", message="its run died"),)))

    ended = client.batches.retrieve(in_progress.id)
    assert (ended.status, ended.failed_at is not None) == ("failed", True)
    assert ended.errors is not None
    assert [error.code for error in ended.errors.data or []] == ["run_failed"]


def test_a_bad_file_fails_with_every_bad_line(client: openai.OpenAI) -> None:
    content = jsonl(
        chat_line("a"),
        "{oops",
        chat_line("a"),
        chat_line("d", model="nobody"),
        chat_line("e", model=ABSENT),
        chat_line("f", temperature="hot"),
        chat_line("g"),
    )

    batch = settled(client, submit(client, content))

    assert (batch.status, batch.failed_at is not None, batch.in_progress_at) == (
        "failed",
        True,
        None,
    )
    assert batch.errors is not None
    assert [(error.line, error.code) for error in batch.errors.data or []] == [
        (2, "invalid_json_line"),
        (3, "duplicate_custom_id"),
        (4, "model_not_found"),
        (5, "mismatched_model"),
        (6, "invalid_request"),
    ]
    assert (batch.errors.data or [])[-1].param == "body.temperature"


def test_an_empty_file_fails(client: openai.OpenAI) -> None:
    batch = settled(client, submit(client, b""))

    assert batch.errors is not None
    assert [error.code for error in batch.errors.data or []] == ["empty_file"]


def test_a_model_without_a_replica_is_good_enough_to_wait_for(client: openai.OpenAI) -> None:
    batch = settled(client, submit(client, jsonl(chat_line("a", model=ABSENT))))

    assert (batch.status, batch.model) == ("in_progress", ABSENT)


def test_answers_have_openais_published_form_in_every_state(
    stage: Stage, client: openai.OpenAI, runs: Runs, in_progress: Batch
) -> None:
    failed = settled(client, submit(client, b"{\n"))
    done = settled(client, submit(client, TWO))
    runs.say(done, Progress(completed=2, failed=0, usage=Usage(input_tokens=1)), Finalizing())
    runs.say(done, Completed(runs.write(done, b""), None))
    client.batches.cancel(in_progress.id)

    for batch in (failed, done, in_progress):
        check_form("Batch", stage.http.get(f"/v1/batches/{batch.id}").json())
    check_form("ListBatchesResponse", stage.http.get("/v1/batches").json())
    check_form("ErrorResponse", stage.http.get("/v1/batches/batch_nobody").json())


@pytest.mark.parametrize(("window", "seconds"), [("6h", 21600), ("30m", 1800), ("90s", 90)])
def test_a_window_may_be_shorter_than_a_day(
    client: openai.OpenAI, window: str, seconds: int
) -> None:
    batch = submit(client, TWO, completion_window=window)

    assert batch.completion_window == window
    assert batch.expires_at == batch.created_at + seconds


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"endpoint": "/v1/embeddings"}, "endpoint"),
        ({"endpoint": ""}, "endpoint"),
        ({"completion_window": "25h"}, "completion_window"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"input_file_id": ""}, "input_file_id"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ({"metadata": {"k" * 65: "x"}}, "metadata"),
        ({"metadata": {"k": "x" * 513}}, "metadata"),
        ({"metadata": {"k": 1}}, "metadata"),
        (
            {"output_expires_after": {"anchor": "now", "seconds": 7200}},
            "output_expires_after.anchor",
        ),
        (
            {"output_expires_after": {"anchor": "created_at", "seconds": 1}},
            "output_expires_after.seconds",
        ),
    ],
)
def test_a_creation_that_asks_for_what_there_is_not_is_refused(
    client: openai.OpenAI, changes: dict[str, Any], param: str
) -> None:
    asked = {"endpoint": CHAT, "completion_window": "24h", "input_file_id": "file-x", **changes}

    with pytest.raises(openai.BadRequestError) as refused:
        client.batches.create(**asked)

    assert refused.value.param == param


def test_metadata_may_be_as_large_as_its_limits(client: openai.OpenAI) -> None:
    metadata = {f"{n:064}": "x" * 512 for n in range(16)}

    assert submit(client, TWO, metadata=metadata).metadata == metadata


def test_metadata_at_its_limits_may_be_escaped(client: openai.OpenAI, stage: Stage) -> None:
    metadata = {f"{n:04}" + "\U0001f600" * 60: "\U0001f600" * 512 for n in range(16)}
    file = upload(client, TWO)
    asked = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}

    answer = stage.http.post("/v1/batches", content=json.dumps({**asked, "metadata": metadata}))

    assert answer.status_code == 200
    assert answer.json()["metadata"] == metadata


@pytest.mark.parametrize("body", ["", "[]", "{", '"x"', "null", '{"a": ' + "[" * 20_000])
def test_a_creation_that_is_no_json_object_is_refused(stage: Stage, body: str) -> None:
    answer = stage.http.post("/v1/batches", content=body)

    assert answer.status_code == 400
    check_form("ErrorResponse", answer.json())


def test_an_input_must_be_there_and_be_an_input(
    client: openai.OpenAI, runs: Runs, in_progress: Batch
) -> None:
    output = runs.write(in_progress, b"{}\n")

    with pytest.raises(openai.NotFoundError):
        client.batches.create(input_file_id="file-nobody", endpoint=CHAT, completion_window="24h")
    with pytest.raises(openai.BadRequestError, match="purpose"):
        client.batches.create(input_file_id=output, endpoint=CHAT, completion_window="24h")


def test_what_nobody_knows_is_not_found(client: openai.OpenAI) -> None:
    for gone in (client.batches.retrieve, client.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            gone("batch_nobody")
    with pytest.raises(openai.NotFoundError):
        client.batches.list(after="batch_nobody")


def test_a_batch_that_has_ended_cannot_be_cancelled(
    client: openai.OpenAI, runs: Runs, in_progress: Batch
) -> None:
    runs.say(in_progress, Finalizing(), Completed(None, None))

    with pytest.raises(openai.ConflictError, match="completed"):
        client.batches.cancel(in_progress.id)


def test_pages_of_batches_follow_each_other(client: openai.OpenAI) -> None:
    made = [submit(client, TWO).id for _ in range(5)]

    listed = [batch.id for batch in client.batches.list(limit=2)]
    page = client.batches.list(limit=2)

    assert listed[:5] == made[::-1]
    assert page.has_more
    assert client.batches.list(after=made[1], limit=1).data[0].id == made[0]


def test_a_retried_creation_returns_the_same_batch(client: openai.OpenAI) -> None:
    file = upload(client, TWO)

    def create(key: str, **changes: Any) -> Batch:
        asked = {"endpoint": CHAT, "completion_window": "24h", **changes}
        header = {"Idempotency-Key": key}
        return client.batches.create(input_file_id=file.id, extra_headers=header, **asked)

    first = create(f"one {file.id}")

    assert create(f"one {file.id}").id == first.id
    assert create(f"two {file.id}").id != first.id
    with pytest.raises(openai.ConflictError, match=first.id):
        create(f"one {file.id}", completion_window="6h")
    with pytest.raises(openai.BadRequestError):
        create("x" * 256)


def test_a_key_sees_the_batches_of_its_account_only(keyed_gateway: GatewayThread) -> None:
    def keyed(key: str) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{keyed_gateway.url}/v1", api_key=key, max_retries=0)

    ada, bob = keyed("key of ada"), keyed("key of bob")
    batch = submit(ada, TWO)

    assert keyed("other key of ada").batches.retrieve(batch.id).id == batch.id
    assert batch.id not in [each.id for each in bob.batches.list()]
    for gone in (bob.batches.retrieve, bob.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            gone(batch.id)
    with pytest.raises(openai.NotFoundError):
        bob.batches.create(
            input_file_id=batch.input_file_id, endpoint=CHAT, completion_window="24h"
        )
    with pytest.raises(openai.AuthenticationError):
        keyed("no key").batches.list()

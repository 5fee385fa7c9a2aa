"""The Files API, driven by OpenAI's own client."""

import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.batches import Catalog, FileStore
from serving.gateway.accounts import Accounts
from serving.gateway.batches.answers import answering
from serving.gateway.batches.file_routes import FileRoutes
from serving.gateway.batches.uploads import BLOCK_BYTES, fields_of, receive_form
from serving.gateway.failures import RequestRefused
from tests.fakes.host import wait_until
from tests.gateway.batch_clients import Runs, chat_line, check_form, jsonl, submit, upload
from tests.gateway.conftest import GatewayThread, Stage

DAY_S = 24 * 3600


@pytest.fixture
def client(stage: Stage) -> openai.OpenAI:
    return stage.openai(_strict_response_validation=True)


def test_an_uploaded_file_can_be_read_listed_and_deleted(
    stage: Stage, client: openai.OpenAI
) -> None:
    content = jsonl(chat_line("a"), chat_line("b"))

    file = client.files.create(file=("mine ü.jsonl", content), purpose="batch")

    assert (file.filename, file.bytes, file.purpose) == ("mine ü.jsonl", len(content), "batch")
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == content
    assert file.id in [each.id for each in client.files.list(purpose="batch")]
    assert file.id not in [each.id for each in client.files.list(purpose="batch_output")]

    assert client.files.delete(file.id).deleted

    assert file.id not in [each.id for each in client.files.list()]
    for gone in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            gone(file.id)


def test_answers_have_openais_published_form(stage: Stage, client: openai.OpenAI) -> None:
    file = upload(client, jsonl(chat_line("a")))

    check_form("OpenAIFile", stage.http.get(f"/v1/files/{file.id}").json())
    check_form("ListFilesResponse", stage.http.get("/v1/files").json())
    check_form("ErrorResponse", stage.http.get("/v1/files/file-nobody").json())
    check_form("DeleteFileResponse", stage.http.delete(f"/v1/files/{file.id}").json())


def test_a_file_larger_than_a_block_arrives_whole(client: openai.OpenAI) -> None:
    content = b"".join(jsonl({"n": n, "x": "y" * 1000}) for n in range(3 * BLOCK_BYTES // 1000))

    file = upload(client, content)

    assert client.files.content(file.id).read() == content


def test_an_empty_file_can_be_uploaded(client: openai.OpenAI) -> None:
    file = upload(client, b"")

    assert (file.bytes, client.files.content(file.id).read()) == (0, b"")


def test_pages_of_files_follow_each_other(client: openai.OpenAI) -> None:
    made = [upload(client, b"x\n").id for _ in range(5)]

    listed = [file.id for file in client.files.list(limit=2, order="asc", after=made[0])]

    assert listed[:4] == made[1:]
    newest_first = [file.id for file in client.files.list(limit=2, order="desc")]
    assert newest_first[:5] == made[::-1]


def test_a_file_says_when_it_expires(client: openai.OpenAI) -> None:
    asked: Any = {"anchor": "created_at", "seconds": 2 * DAY_S}

    short = upload(client, b"x\n", expires_after=asked)
    usual = upload(client, b"x\n")

    assert short.expires_at == short.created_at + 2 * DAY_S
    assert usual.expires_at == usual.created_at + 30 * DAY_S


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"purpose": "fine-tune"}, "purpose"),
        ({"purpose": "batch_output"}, "purpose"),
        ({"purpose": ""}, "purpose"),
        ({"expires_after": {"anchor": "created_at", "seconds": 60}}, "expires_after.seconds"),
        (
            {"expires_after": {"anchor": "created_at", "seconds": 31 * DAY_S}},
            "expires_after.seconds",
        ),
        ({"expires_after": {"anchor": "now", "seconds": 7200}}, "expires_after.anchor"),
    ],
)
def test_an_upload_that_asks_for_what_there_is_not_is_refused(
    client: openai.OpenAI, options: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=("in.jsonl", b"x\n"), **{"purpose": "batch", **options})

    assert refused.value.param == param


@pytest.mark.parametrize(
    "request_of",
    [
        {"json": {"purpose": "batch"}},
        {"data": {"purpose": "batch"}},
        {"files": {"purpose": (None, "batch")}},
        {"files": {"file": ("a", b"x")}},
        {"files": [("file", ("a", b"x")), ("file", ("b", b"y"))], "data": {"purpose": "batch"}},
        {"content": b"--x\r\n", "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"content": b"!", "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"content": b"", "headers": {"content-type": "multipart/form-data"}},
        {"files": {"file": ("a", b"x"), "more": (None, "y" * 100_000)}},
    ],
)
def test_what_is_not_an_upload_is_refused(stage: Stage, request_of: dict[str, Any]) -> None:
    answer = stage.http.post("/v1/files", **request_of)

    assert answer.status_code == 400
    check_form("ErrorResponse", answer.json())


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=10001", "limit=x", "order=up", "after=file-no"]
)
def test_a_list_that_makes_no_sense_is_refused(stage: Stage, query: str) -> None:
    answer = stage.http.get(f"/v1/files?{query}")

    assert answer.status_code in {400, 404}
    check_form("ErrorResponse", answer.json())


def test_the_input_of_a_batch_cannot_be_deleted_until_the_batch_has_ended(
    client: openai.OpenAI,
) -> None:
    batch = submit(client, jsonl(chat_line("a")))

    with pytest.raises(openai.ConflictError, match=batch.id):
        client.files.delete(batch.input_file_id)


def test_an_upload_that_is_broken_off_leaves_nothing(stage: Stage) -> None:
    drafts = stage.gateway.state.batch_files / "drafts"

    def broken() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        yield b"z" * BLOCK_BYTES
        wait_until(lambda: any(drafts.iterdir()))
        raise ConnectionError("the client is gone")

    with pytest.raises(ConnectionError):
        stage.http.post(
            "/v1/files",
            content=broken(),
            headers={"content-type": "multipart/form-data; boundary=x"},
        )

    wait_until(lambda: not any(drafts.iterdir()))


def test_uploads_at_the_same_time_do_not_mix(client: openai.OpenAI) -> None:
    contents = {name: name.encode() * 300_000 for name in "abcd"}
    made: dict[str, str] = {}

    def send(name: str) -> None:
        made[name] = upload(client, contents[name]).id

    threads = [threading.Thread(target=send, args=(name,)) for name in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for name, content in contents.items():
        assert client.files.content(made[name]).read() == content


def keyed(gateway: GatewayThread, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0)


def test_a_key_sees_the_files_of_its_account_only(keyed_gateway: GatewayThread) -> None:
    ada, bob = keyed(keyed_gateway, "key of ada"), keyed(keyed_gateway, "key of bob")
    file = upload(ada, b"x\n")

    assert keyed(keyed_gateway, "other key of ada").files.retrieve(file.id) == file
    assert file.id not in [each.id for each in bob.files.list()]
    for gone in (bob.files.retrieve, bob.files.content, bob.files.delete):
        with pytest.raises(openai.NotFoundError):
            gone(file.id)
    with pytest.raises(openai.AuthenticationError):
        keyed(keyed_gateway, "no key").files.list()
    with pytest.raises(openai.AuthenticationError):
        upload(keyed(keyed_gateway, "no key"), b"x\n")


def test_a_batchs_files_belong_to_whoever_asked_for_the_batch(
    keyed_gateway: GatewayThread,
) -> None:
    ada, bob = keyed(keyed_gateway, "key of ada"), keyed(keyed_gateway, "key of bob")
    batch = submit(ada, jsonl(chat_line("a")))

    written = Runs(keyed_gateway.state).write(batch, b"{}\n")

    assert ada.files.content(written).read() == b"{}\n"
    with pytest.raises(openai.NotFoundError):
        bob.files.content(written)


@pytest.mark.parametrize("fault", [OSError("no space left"), sqlite3.OperationalError("locked")])
async def test_a_fault_of_the_storage_is_said_in_the_apis_form(fault: Exception) -> None:
    async def broken(_request: Request, _account: str) -> Response:
        raise fault

    route = Route("/v1/files", answering(broken, Accounts([], {"batch": "k"})))
    transport = httpx.ASGITransport(Starlette(routes=[route]))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        answer = await http.get("/v1/files")

    assert answer.status_code == 500
    check_form("ErrorResponse", answer.json())
    assert str(fault) in answer.json()["error"]["message"]


# --- the limit of size, with a small one -------------------------------------------------------


def small_app(folder: Path, max_file_bytes: int) -> Starlette:
    catalog = Catalog(folder / "catalog.sqlite")
    routes = FileRoutes(catalog, FileStore(folder, catalog), max_file_bytes=max_file_bytes)
    upload_route = answering(routes.upload, Accounts([], {"batch": "k"}))
    return Starlette(routes=[Route("/v1/files", upload_route, methods=["POST"])])


def kept_in(folder: Path) -> list[Path]:
    return list(folder.glob("file-*"))


@pytest.mark.parametrize(
    ("size", "status"), [(999, 200), (1000, 200), (1001, 413), (70_000, 413), (500_000, 413)]
)
async def test_a_file_above_the_limit_is_refused(tmp_path: Path, size: int, status: int) -> None:
    transport = httpx.ASGITransport(small_app(tmp_path, 1000))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        sent = {"files": {"file": ("a", b"x" * size)}, "data": {"purpose": "batch"}}
        answer = await http.post("/v1/files", **sent)

    assert answer.status_code == status
    assert len(kept_in(tmp_path)) == (status == 200)


# --- forms in pieces ---------------------------------------------------------------------------


def form_of(content: bytes, purpose_first: bool) -> bytes:
    purpose = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    anchor = b'--b\r\nContent-Disposition: form-data; name="expires_after[seconds]"\r\n\r\n7200\r\n'
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n'
    file = head + b"Content-Type: text/plain\r\n\r\n" + content + b"\r\n"
    parts = [purpose, anchor, file] if purpose_first else [file, anchor, purpose]
    return b"".join(parts) + b"--b--\r\n"


contents = st.lists(st.sampled_from([b"a", b"\r\n", b"--b", b"-", b"\r", b"\n", b"--"])).map(
    b"".join
)


@given(content=contents, purpose_first=st.booleans(), cuts=st.sets(st.integers(1, 400)))
async def test_a_form_is_the_same_however_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory,
    content: bytes,
    purpose_first: bool,
    cuts: set[int],
) -> None:
    if b"\r\n--b" in b"\r\n" + content:  # would end the part
        content = content.replace(b"--b", b"")
    body = form_of(content, purpose_first)
    ends = sorted(cut for cut in cuts if cut < len(body))
    folder = tmp_path_factory.mktemp("form")
    files = FileStore(folder, Catalog(folder / "catalog.sqlite"))

    async def chunks() -> AsyncIterator[bytes]:
        for begin, end in zip([0, *ends], [*ends, len(body)], strict=True):
            yield body[begin:end]

    with files.draft() as draft:
        form = await receive_form(
            "multipart/form-data; boundary=b", chunks(), draft, max_file_bytes=10_000
        )
        draft.sync()
        assert draft.path.read_bytes() == content
    assert (form.filename, form.fields["purpose"]) == ("f", "batch")
    assert fields_of(form, "expires_after") == {"seconds": "7200"}


async def test_a_form_with_an_endless_boundary_is_refused(tmp_path: Path) -> None:
    transport = httpx.ASGITransport(small_app(tmp_path, 1000))
    kind = {"content-type": f"multipart/form-data; boundary={'b' * 5000}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        answer = await http.post("/v1/files", content=b"--b", headers=kind)

    assert answer.status_code == 400
    check_form("ErrorResponse", answer.json())


async def test_a_form_that_ends_too_early_is_refused(tmp_path: Path) -> None:
    files = FileStore(tmp_path, Catalog(tmp_path / "catalog.sqlite"))

    async def chunks() -> AsyncIterator[bytes]:
        yield form_of(b"abc", True)[:-5]

    with files.draft() as draft, pytest.raises(RequestRefused, match="in the middle"):
        await receive_form("multipart/form-data; boundary=b", chunks(), draft, max_file_bytes=99)

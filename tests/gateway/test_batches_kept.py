"""A gateway forgets batches and files that have had their time, and keeps all others."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from serving.batches import (
    BatchRecord,
    Catalog,
    Completed,
    FileRecord,
    FileStore,
    Finalizing,
    Validated,
)
from serving.config import Fleet, StateFolder
from serving.gateway.accounts import Accounts
from serving.gateway.batches.service import BatchService
from serving.gateway.lines.work import Duration
from serving.gateway.rehearsal import Rehearsals
from serving.lasting import LastingTasks
from tests.batches.samples import Clock, batch_record, put
from tests.fakes.host import fake_fleet, wait_until

DAY_S = 24 * 3600


@pytest.fixture
def fleet() -> Fleet:
    return fake_fleet(["m"], {"host-0": "m"}, batches={"retention_days": 2})


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path)


@asynccontextmanager
async def serving(fleet: Fleet, state: StateFolder) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API of files and batches, while the service runs."""

    async def built() -> None:
        return

    service = BatchService(
        fleet,
        state,
        Accounts([], {}),
        built=built,
        rehearsals=Rehearsals({}),
        expect=lambda *_: Duration(0.0, 0.0),
    )
    transport = httpx.ASGITransport(Starlette(routes=service.routes()))
    with closing(service):
        async with (
            LastingTasks().running(service.works()),
            httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
        ):
            yield client


def a_batch(state: StateFolder, name: str, days_ago: int, *, ended: bool) -> list[FileRecord]:
    """A batch of so long ago, its files: what it reads and, if it has ended, what it wrote."""
    clock = Clock(time.time() - days_ago * DAY_S)
    with closing(Catalog(state.batch_catalog, clock=clock)) as catalog:
        store = FileStore(state.batch_files, catalog, clock=clock)
        files = [put(store, b"in\n", expires_after_s=DAY_S)]
        record = batch_record(name, input_file_id=files[0].id, created_at=int(clock.now))
        catalog.create_batch(record)
        catalog.apply(name, Validated("m", 1))
        (state.batch_work(name) / "lines").write_bytes(b"index")
        if ended:
            catalog.apply(name, Finalizing())
            files.append(put(store, b"out\n", purpose="batch_output", batch_id=name))
            catalog.apply(name, Completed(files[1].id, None))
    return files


def kept(state: StateFolder) -> list[BatchRecord]:
    with closing(Catalog(state.batch_catalog)) as catalog:
        return list(catalog.batches().records)


async def test_a_batch_that_ended_long_ago_is_404_with_all_it_had(
    fleet: Fleet, state: StateFolder
) -> None:
    old = a_batch(state, "batch_old", 3, ended=True)
    late = a_batch(state, "batch_late", 1, ended=True)
    still = a_batch(state, "batch_open", 9, ended=False)

    async with serving(fleet, state) as client:
        await asyncio.to_thread(wait_until, lambda: len(kept(state)) == 2)
        await asyncio.to_thread(wait_until, lambda: not (state.batches_work / "batch_old").exists())

        assert (await client.get("/v1/batches/batch_old")).status_code == 404
        assert (await client.get(f"/v1/files/{old[1].id}/content")).status_code == 404
        listed = (await client.get("/v1/batches")).json()["data"]
        assert {batch["id"] for batch in listed} == {"batch_late", "batch_open"}
        assert (await client.get(f"/v1/files/{late[1].id}/content")).text == "out\n"

    left = {path.name for path in state.batch_files.iterdir() if path.is_file()}
    assert left == {late[1].id, still[0].id}
    assert {path.name for path in state.batches_work.iterdir()} == {"batch_late", "batch_open"}

"""The catalog: records that processes share."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from serving.batches import (
    BatchError,
    Catalog,
    Completed,
    FileInUse,
    Finalizing,
    IllegalTransition,
    KeyReused,
    NoSuchRecord,
    NotAnInput,
    Refused,
    Validated,
)
from serving.batches.catalog import LISTED_ERRORS
from serving.batches.database import Database
from serving.batches.errors import CatalogOutdated
from tests.batches.samples import NOW, Clock, batch_record, catalog_in, file_record

SCHEMA_1 = """
CREATE TABLE files (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL,
    purpose TEXT NOT NULL, expires_at INTEGER, record BLOB NOT NULL
);
CREATE TABLE batches (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL,
    idempotency_key TEXT, input_file_id TEXT NOT NULL, status TEXT NOT NULL,
    version INTEGER NOT NULL, record BLOB NOT NULL, errors BLOB, UNIQUE (account, idempotency_key)
);
CREATE INDEX batches_by_version ON batches (version);
CREATE INDEX batches_by_status ON batches (status);
CREATE INDEX batches_by_input ON batches (input_file_id);
CREATE INDEX files_by_end ON files (expires_at);
PRAGMA user_version = 1;
"""
"""As the version before made it."""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    made = catalog_in(tmp_path)
    made.put_file(file_record())
    return made


def test_what_one_process_wrote_another_reads(tmp_path: Path, catalog: Catalog) -> None:
    written = catalog.create_batch(batch_record(metadata={"night": "1"}))

    other = catalog_in(tmp_path)

    assert other.batch("batch_1") == written
    assert other.file("file-1") == file_record()


def test_an_event_changes_the_batch_for_everybody(tmp_path: Path, catalog: Catalog) -> None:
    catalog.create_batch(batch_record())

    catalog_in(tmp_path, Clock(NOW + 5)).apply("batch_1", Validated("small", 3))

    record = catalog.batch("batch_1")
    assert (record.status, record.in_progress_at, record.lines) == ("in_progress", NOW + 5, 3)


def test_an_event_that_cannot_happen_changes_nothing(catalog: Catalog) -> None:
    before = catalog.create_batch(batch_record())

    with pytest.raises(IllegalTransition):
        catalog.apply("batch_1", Finalizing())

    assert catalog.batch("batch_1") == before


def test_open_batches_are_those_that_have_not_ended(catalog: Catalog) -> None:
    for name in ("batch_1", "batch_2"):
        catalog.create_batch(batch_record(name))
    for event in (Validated("small", 1), Finalizing(), Completed("file-out", None)):
        catalog.apply("batch_1", event)

    assert [record.id for record in catalog.open_batches()] == ["batch_2"]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_follow_each_other_without_gap_or_repeat(catalog: Catalog, order: str) -> None:
    names = [f"batch_{number}" for number in range(7)]
    for name in names:
        catalog.create_batch(batch_record(name))
    seen: list[str] = []
    more, last = True, None
    while more:
        page = catalog.batches(after_id=last, limit=3, order=order)  # type: ignore[arg-type]
        seen += [record.id for record in page.records]
        more, last = page.has_more, seen[-1]

    assert seen == (names if order == "asc" else names[::-1])


def test_a_page_that_ends_with_the_list_says_so(catalog: Catalog) -> None:
    for name in ("batch_1", "batch_2"):
        catalog.create_batch(batch_record(name))

    assert not catalog.batches(limit=2).has_more
    assert catalog.batches(limit=1).has_more


def test_a_page_after_nobody_knows_what_is_refused(catalog: Catalog) -> None:
    with pytest.raises(NoSuchRecord, match="batch_9"):
        catalog.batches(after_id="batch_9")


def test_an_account_sees_its_own_only(catalog: Catalog) -> None:
    catalog.put_file(file_record("file-ada", account="ada"))
    catalog.create_batch(batch_record("batch_ada", account="ada", input_file_id="file-ada"))

    with pytest.raises(NoSuchRecord):
        catalog.batch("batch_ada", account="bob")
    with pytest.raises(NoSuchRecord):
        catalog.file("file-ada", account="bob")
    with pytest.raises(NoSuchRecord):
        catalog.create_batch(batch_record(account="bob", input_file_id="file-ada"))
    assert catalog.batches(account="bob").records == ()
    assert [record.id for record in catalog.files(account="ada").records] == ["file-ada"]


def test_a_retried_creation_is_the_same_batch(catalog: Catalog) -> None:
    first = catalog.create_batch(batch_record("batch_1", idempotency_key="k"))
    catalog.apply("batch_1", Validated("small", 3))

    again = catalog.create_batch(batch_record("batch_2", idempotency_key="k"))

    assert (again.id, again.status) == (first.id, "in_progress")
    assert len(catalog.batches().records) == 1


def test_a_retried_creation_is_the_same_batch_when_its_input_is_gone_too(catalog: Catalog) -> None:
    catalog.create_batch(batch_record("batch_1", idempotency_key="k"))
    catalog.apply("batch_1", Refused((BatchError(code="x", message="y"),)))
    catalog.remove_file("file-1")

    assert catalog.create_batch(batch_record("batch_2", idempotency_key="k")).id == "batch_1"


def test_what_a_batch_wrote_is_no_input(catalog: Catalog) -> None:
    catalog.put_file(file_record("file-out", purpose="batch_output"))

    with pytest.raises(NotAnInput, match="batch_output"):
        catalog.create_batch(batch_record(input_file_id="file-out"))


def test_a_key_for_another_request_is_refused(catalog: Catalog) -> None:
    catalog.create_batch(batch_record("batch_1", idempotency_key="k"))

    with pytest.raises(KeyReused, match="batch_1"):
        catalog.create_batch(batch_record("batch_2", idempotency_key="k", metadata={"a": "b"}))


def test_keys_of_two_accounts_do_not_meet(catalog: Catalog) -> None:
    catalog.put_file(file_record("file-ada", account="ada"))
    catalog.create_batch(batch_record("batch_1", idempotency_key="k"))
    hers = batch_record("batch_2", idempotency_key="k", account="ada", input_file_id="file-ada")

    assert catalog.create_batch(hers).id == "batch_2"


def test_the_input_of_a_batch_stays_until_the_batch_has_ended(catalog: Catalog) -> None:
    catalog.create_batch(batch_record())
    with pytest.raises(FileInUse, match="batch_1"):
        catalog.remove_file("file-1")

    catalog.apply("batch_1", Refused((BatchError(code="x", message="y"),)))
    catalog.remove_file("file-1")

    with pytest.raises(NoSuchRecord):
        catalog.file("file-1")


def test_lists_carry_the_first_errors_and_the_batch_all_of_them(catalog: Catalog) -> None:
    errors = tuple(BatchError(code="x", message="y", line=n) for n in range(LISTED_ERRORS + 5))
    catalog.create_batch(batch_record())
    catalog.apply("batch_1", Refused(errors))

    assert catalog.batch("batch_1").errors == errors
    assert catalog.batches().records[0].errors == errors[:LISTED_ERRORS]


def test_creations_with_one_key_at_once_make_one_batch(tmp_path: Path, catalog: Catalog) -> None:
    made: list[str] = []

    def create(number: int) -> None:
        record = batch_record(f"batch_{number}", idempotency_key="k")
        made.append(catalog_in(tmp_path).create_batch(record).id)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(made) == 6
    assert len(set(made)) == 1


FORKING = """
import os, sys
from pathlib import Path
from serving.batches import Catalog, Finalizing, Validated

catalog = Catalog(Path(sys.argv[1]))
assert catalog.batch("batch_1").status == "validating"
child = os.fork()
if not child:
    catalog.apply("batch_1", Validated("small", 3))
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert catalog.batch("batch_1").status == "in_progress"
catalog.apply("batch_1", Finalizing())
"""


def test_a_forked_process_has_a_connection_of_its_own(tmp_path: Path, catalog: Catalog) -> None:
    catalog.create_batch(batch_record())

    subprocess.run([sys.executable, "-c", FORKING, tmp_path / "catalog.sqlite"], check=True)

    assert catalog.batch("batch_1").status == "finalizing"


def test_a_commit_that_fails_leaves_the_catalog_usable(tmp_path: Path) -> None:
    database = Database(tmp_path / "catalog.sqlite")
    with database.reading() as rows:
        rows.executescript(
            "PRAGMA foreign_keys = ON; CREATE TABLE a (id PRIMARY KEY);"
            "CREATE TABLE b (a REFERENCES a DEFERRABLE INITIALLY DEFERRED)"
        )

    with pytest.raises(sqlite3.IntegrityError), database.transaction() as rows:
        rows.execute("INSERT INTO b VALUES (1)")  # refused when it is committed

    with database.transaction() as rows:
        rows.execute("INSERT INTO a VALUES (1)")
    with database.reading() as rows:
        assert rows.execute("SELECT count(*) FROM b").fetchone() == (0,)


def test_a_catalog_of_another_version_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")

    with pytest.raises(CatalogOutdated, match="99"):
        catalog_in(tmp_path).open_batches()


def test_the_catalog_of_the_version_before_goes_on(tmp_path: Path) -> None:
    record = batch_record()
    with sqlite3.connect(tmp_path / "catalog.sqlite") as before:
        before.executescript(SCHEMA_1)
        before.execute(
            "INSERT INTO batches (id, account, input_file_id, status, version, record)"
            " VALUES (?, '', 'file-1', 'validating', 7, ?)",
            (record.id, msgspec.json.encode(record)),
        )

    assert catalog_in(tmp_path).open_batches() == [record]
    again = catalog_in(tmp_path)
    assert again.apply(record.id, Validated("small", 3)).status == "in_progress"

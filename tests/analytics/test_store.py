"""The store's process: who gets in, what survives, what it makes of an older database."""

import signal
import socket
import subprocess
import sys
import time

import duckdb
import pytest

from analytics.columns import columns_of
from analytics.errors import StoreRefused, StoreUnreachable, StoreUnusable, TokenRefused
from analytics.events import EVENT_TYPES, Swap
from analytics.extensions import connect_duckdb
from analytics.store.retention import Retention, remove_old
from analytics.store.schema import apply_schema
from tests.analytics.conftest import ADDRESS, StoreProcess, record
from tests.analytics.samples import arrived, gateway_sample, one_of_each


def test_events_of_every_kind_come_back_as_they_were_appended(store: StoreProcess) -> None:
    record(store, *one_of_each())
    with store.reader() as reader:
        for event in one_of_each():
            (row,) = reader.query(f"FROM {event.table}").to_dicts()
            assert row == {name: getattr(event, name) for name in columns_of(type(event))}


def test_a_wrong_token_is_refused_at_once(store: StoreProcess) -> None:
    with store.reader(token="another") as reader, pytest.raises(TokenRefused, match="token"):
        reader.wait_ready(60)


def test_no_store_is_told_apart_from_a_refusal(stopped_store: StoreProcess) -> None:
    with stopped_store.reader() as reader, pytest.raises(StoreUnreachable):
        reader.wait_ready(0)


def test_parameters_are_values_and_never_sql(store: StoreProcess) -> None:
    text = "'; DROP TABLE requests; --"
    with store.reader() as reader:
        assert reader.query("SELECT $given AS given", {"given": text})["given"][0] == text
        assert reader.query("SELECT count(*) AS n FROM requests")["n"][0] == 0


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "COPY (SELECT 1) TO 'out.csv'",
        "ATTACH 'other.duckdb'",
        "SET enable_external_access = true",
    ],
)
def test_a_client_reaches_the_database_and_no_other_file(
    store: StoreProcess, statement: str
) -> None:
    with store.reader() as reader, pytest.raises(StoreRefused):
        reader.query(statement)


def test_a_refused_statement_does_not_spoil_the_next_one(store: StoreProcess) -> None:
    with store.reader() as reader:
        with pytest.raises(StoreRefused):
            reader.query("BEGIN; SELECT missing_column")
        assert reader.query("SELECT 1 AS one")["one"][0] == 1


def test_sigterm_folds_everything_into_the_database_file(store: StoreProcess) -> None:
    record(store, arrived())
    assert store.stop(signal.SIGTERM) == 0
    assert not store.database.with_suffix(".duckdb.wal").exists()
    with duckdb.connect(str(store.database), read_only=True) as database:
        assert database.execute("SELECT request_id FROM request_arrivals").fetchall() == [("r1",)]


def test_a_killed_store_starts_again_while_its_clients_hold_on(store: StoreProcess) -> None:
    with socket.create_connection((ADDRESS, store.port)):
        store.stop(signal.SIGKILL)
        store.start()
        assert store.count("request_arrivals") == 0


def test_a_second_store_is_refused_the_port_and_the_database(store: StoreProcess) -> None:
    def start(database: str, port: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "analytics.store", "--database", database]
        command += ["--port", str(port), "--token-file", str(store.database.parent / "token")]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    same_port = start(str(store.database.parent / "other.duckdb"), store.port)
    assert same_port.returncode == 1
    assert str(store.port) in same_port.stdout
    same_file = start(str(store.database), StoreProcess(store.database.parent).port)
    assert same_file.returncode == 1
    assert str(store.database) in same_file.stdout


def test_an_older_database_gets_the_new_columns_and_keeps_its_rows() -> None:
    with connect_duckdb(":memory:") as database:
        database.execute("CREATE TABLE swaps (ended_at DOUBLE, host VARCHAR)")
        database.execute("INSERT INTO swaps VALUES (1.0, 'host-0')")
        apply_schema(database)
        apply_schema(database)
        columns = [row[0] for row in database.execute("DESCRIBE swaps").fetchall()]
        assert columns == list(columns_of(Swap))
        assert database.execute("SELECT host, plan_id FROM swaps").fetchall() == [("host-0", None)]


def test_a_column_that_changed_its_type_is_refused_by_name() -> None:
    with connect_duckdb(":memory:") as database:
        database.execute("CREATE TABLE swaps (ended_at VARCHAR)")
        with pytest.raises(StoreUnusable, match="ended_at of table swaps"):
            apply_schema(database)


def test_old_events_are_removed_and_samples_sooner() -> None:
    now = time.time()
    with connect_duckdb(":memory:") as database:
        apply_schema(database)
        for age_s in (50, 500):
            database.execute("INSERT INTO request_arrivals (arrived_at) VALUES (?)", [now - age_s])
            database.execute("INSERT INTO gateway_samples (sampled_at) VALUES (?)", [now - age_s])
        assert remove_old(database, Retention(events_s=1000, samples_s=100), now) == 1
        assert database.execute("SELECT count(*) FROM request_arrivals").fetchall() == [(2,)]
        assert database.execute("SELECT count(*) FROM gateway_samples").fetchall() == [(1,)]


def test_every_event_type_is_subject_to_retention() -> None:
    with connect_duckdb(":memory:") as database:
        apply_schema(database)
        for event_type in EVENT_TYPES:
            time_column = next(iter(columns_of(event_type)))
            database.execute(f"INSERT INTO {event_type.table} ({time_column}) VALUES (0)")
        everything = Retention(events_s=1, samples_s=1)
        assert remove_old(database, everything, time.time()) == len(EVENT_TYPES)


def test_a_started_store_removes_what_is_older_than_it_was_told(store: StoreProcess) -> None:
    now = time.time()
    record(store, gateway_sample(sampled_at=now - 3600), gateway_sample(sampled_at=now))
    store.stop()
    store.start("--keep-samples-days", "0.01")
    assert store.count("gateway_samples") == 1

"""The event writer against a store that comes, goes and dies."""

import signal
import threading
import time
from collections.abc import Callable

import pytest

from analytics.batch import Mark, transaction
from analytics.errors import StoreRefused
from analytics.writer import EventWriter
from tests.analytics.conftest import ADDRESS, StoreProcess
from tests.analytics.samples import arrived, swap


def wait_until(condition: Callable[[], bool], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.05)


def request_ids(store: StoreProcess) -> list[str]:
    with store.reader() as reader:
        return reader.query("SELECT request_id FROM request_arrivals")["request_id"].to_list()


def test_events_arrive_without_close(store: StoreProcess) -> None:
    writer = store.writer()
    writer.append(arrived())
    wait_until(lambda: store.count("request_arrivals") == 1)
    writer.close()


def test_several_writers_at_once_lose_and_double_nothing(store: StoreProcess) -> None:
    writers = [store.writer() for _ in range(4)]

    def append_all(position: int) -> None:
        for number in range(1500):
            writers[position].append(arrived(request_id=f"{position}-{number}"))

    threads = [threading.Thread(target=append_all, args=(p,)) for p in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writer in writers:
        writer.close(timeout_s=60)
    assert sorted(request_ids(store)) == sorted(f"{p}-{n}" for p in range(4) for n in range(1500))
    with store.reader() as reader:
        assert reader.query("SELECT sum(dropped) AS n FROM writers")["n"][0] == 0


def test_events_appended_before_the_store_starts_arrive_when_it_does(
    stopped_store: StoreProcess,
) -> None:
    writer = stopped_store.writer()
    writer.append(arrived())
    stopped_store.start()
    wait_until(lambda: stopped_store.count("request_arrivals") == 1)
    writer.close()


def test_a_store_killed_while_writers_append_loses_and_doubles_nothing(
    store: StoreProcess,
) -> None:
    writers = [store.writer() for _ in range(3)]
    done = threading.Event()
    appended: list[str] = []

    def append_until_done() -> None:
        number = 0
        while not done.wait(0.002):
            for position, writer in enumerate(writers):
                name = f"{position}-{number}"
                appended.append(name)
                writer.append(arrived(request_id=name))
            number += 1

    thread = threading.Thread(target=append_until_done)
    thread.start()
    for _ in range(3):
        before = store.try_count("request_arrivals")
        wait_until(lambda before=before: store.try_count("request_arrivals") > before)
        acknowledged = set(request_ids(store))
        store.stop(signal.SIGKILL)
        store.start()
        assert acknowledged <= set(request_ids(store))
    done.set()
    thread.join()
    for writer in writers:
        writer.close(timeout_s=60)
    assert sorted(request_ids(store)) == sorted(appended)
    assert sum(writer.dropped for writer in writers) == 0


def test_a_batch_whose_acknowledgement_was_lost_is_not_inserted_again(
    store: StoreProcess,
) -> None:
    writer = store.writer()
    forward = writer._client.run
    lost = threading.Event()

    def lose_the_first_answer(sql: str, parameters: dict | None = None) -> object:
        answer = forward(sql, parameters)
        if sql.startswith("BEGIN") and not lost.is_set():
            answer.fetchall()
            lost.set()
            store.stop(signal.SIGKILL)
            store.start()
            return forward("SELECT 1")  # raises StoreUnreachable: the session died
        return answer

    writer._client.run = lose_the_first_answer  # type: ignore[method-assign, assignment]
    writer.append(arrived(request_id="first"))
    assert lost.wait(120)
    writer.append(arrived(request_id="second"))
    writer.close(timeout_s=60)
    assert sorted(request_ids(store)) == ["first", "second"]


def test_what_the_backlog_cannot_hold_is_dropped_oldest_first_and_counted(
    stopped_store: StoreProcess,
) -> None:
    writer = stopped_store.writer(capacity=100)
    total = 2000
    for number in range(total):
        writer.append(arrived(request_id=str(number)))
    assert writer.dropped > 0
    stopped_store.start()
    writer.append(arrived(request_id="last"))
    writer.close(timeout_s=60)
    kept = request_ids(stopped_store)
    assert len(kept) + writer.dropped == total + 1
    assert {"last", str(total - 1)} <= set(kept)


def test_close_is_bounded_and_counts_what_it_gave_up(stopped_store: StoreProcess) -> None:
    writer = stopped_store.writer()
    for number in range(700):
        writer.append(arrived(request_id=str(number)))
    writer.close(timeout_s=0.2)
    wait_until(lambda: not writer._thread.is_alive())
    assert writer.dropped == 700


def test_what_close_gave_up_is_neither_sent_nor_counted_once_more() -> None:
    writer, asked = EventWriter(ADDRESS, 1, "", source="tests"), threading.Event()
    let = threading.Event()
    sent: list[str] = []

    class SlowStore:
        def run(self, sql: str, _parameters: dict | None = None) -> "SlowStore":
            asked.set()
            let.wait(120)
            sent.append(sql)
            return self

        def fetchall(self) -> list[tuple]:
            return []

        def close(self) -> None:
            """Hang up."""

    writer._client = SlowStore()  # type: ignore[assignment]
    writer.append(arrived())
    assert asked.wait(120)
    for number in range(200):
        writer.append(arrived(request_id=f"late {number}"))

    writer.close(timeout_s=0.0)
    let.set()

    wait_until(lambda: not writer._thread.is_alive())
    assert (len(sent), writer.dropped) == (1, 200)


def test_a_store_that_does_not_answer_does_not_hold_close(store: StoreProcess) -> None:
    writer = store.writer()
    writer.append(arrived())
    wait_until(lambda: store.count("request_arrivals") == 1)
    assert store._process is not None
    store._process.send_signal(signal.SIGSTOP)
    writer.append(arrived(request_id="r2"))
    started = time.monotonic()
    writer.close(timeout_s=0.5)
    store._process.send_signal(signal.SIGCONT)
    assert time.monotonic() - started < 60


def test_a_wrong_token_is_retried_not_dropped_until_close(store: StoreProcess) -> None:
    writer = EventWriter(ADDRESS, store.port, "wrong", source="tests")
    writer.append(arrived())
    writer.close(timeout_s=0.2)
    wait_until(lambda: writer.dropped == 1)
    assert store.count("request_arrivals") == 0


def test_events_the_store_has_no_place_for_are_given_up_and_the_next_ones_arrive(
    store: StoreProcess,
) -> None:
    with store.reader() as reader:
        reader.query("DROP TABLE swaps")
    writer = store.writer()
    writer.append(swap())
    wait_until(lambda: writer.dropped == 1)
    writer.append(arrived())
    writer.close(timeout_s=60)
    assert store.count("request_arrivals") == 1


def test_a_batch_that_fails_midway_leaves_nothing_behind(store: StoreProcess) -> None:
    mark = Mark("w", "tests", 1, 0)
    text = transaction([arrived()], mark, 1.0).replace("COMMIT", "SELECT missing; COMMIT")
    with store.reader() as reader, pytest.raises(StoreRefused, match="missing"):
        reader.query(text)
    assert store.count("request_arrivals") == 0
    assert store.count("writers") == 0

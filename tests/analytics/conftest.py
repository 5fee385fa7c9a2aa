"""A real store process on a free port, and events to put into it."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics.errors import StoreError
from analytics.events import EVENT_TYPES, Event
from analytics.traffic import TrafficReader
from analytics.writer import EventWriter
from tests.ports import free_ports

ADDRESS = "127.0.0.1"
TOKEN = "a-token-for-tests"


def _stopped(task: Path) -> bool:
    """Whether a thread is stopped by a signal (proc(5), the state after the name)."""
    return (task / "stat").read_text().rpartition(")")[2].split()[0] == "T"


class StoreProcess:
    """`python -m analytics.store` over one database file, started and stopped at will."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "traffic.duckdb"
        self.port = free_ports(1)[0]
        self._token_file = folder / "token"
        self._token_file.write_text(TOKEN + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "analytics.store", "--database", str(self.database)]
        command += ["--port", str(self.port), "--token-file", str(self._token_file)]
        self._process = subprocess.Popen([*command, *arguments])
        with self.reader() as reader:
            reader.wait_ready(120)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal, wait, and return the exit status."""
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(number)
        return process.wait(120)

    def freeze(self) -> None:
        """Let it hold its connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{self._process.pid}/task")
        while not all(_stopped(task) for task in tasks.iterdir()):
            time.sleep(0.01)  # a thread stops when it next runs

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @property
    def place(self) -> tuple[str, int, str]:
        """Address, port and token."""
        return ADDRESS, self.port, TOKEN

    @property
    def running(self) -> bool:
        return self._process is not None

    def reader(self, token: str = TOKEN) -> TrafficReader:
        return TrafficReader(ADDRESS, self.port, token, timeout_s=60)

    def writer(self, **settings: int) -> EventWriter:
        return EventWriter(ADDRESS, self.port, TOKEN, source="tests", **settings)

    def empty(self) -> None:
        """Leave no event in its tables."""
        with self.reader() as reader:
            for event_type in EVENT_TYPES:
                reader.query(f"DELETE FROM {event_type.table}")

    def count(self, table: str) -> int:
        with self.reader() as reader:
            return int(reader.query(f"SELECT count(*) AS n FROM {table}")["n"][0])

    def try_count(self, table: str) -> int:
        """As `count`, and 0 while the store is away."""
        try:
            return self.count(table)
        except StoreError:
            return 0


def record(store: StoreProcess, *events: Event) -> None:
    """Have events in the store before going on."""
    writer = store.writer()
    for event in events:
        writer.append(event)
    writer.close(timeout_s=60)
    assert writer.dropped == 0


@pytest.fixture
def stopped_store(tmp_path: Path) -> Iterator[StoreProcess]:
    process = StoreProcess(tmp_path)
    yield process
    if process.running:
        process.stop(signal.SIGKILL)


@pytest.fixture
def store(stopped_store: StoreProcess) -> StoreProcess:
    stopped_store.start()
    return stopped_store


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    """One running store for a module whose tests stop nothing."""
    process = StoreProcess(tmp_path_factory.mktemp("store"))
    process.start()
    yield process
    process.stop()

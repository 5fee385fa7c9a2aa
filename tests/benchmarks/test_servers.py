"""Servers of a benchmark: what they started is gone afterwards, and their end is noticed."""

import os
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.servers import Server, until
from benchmarks.setting import BenchmarkUnable

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def server(code: str, folder: Path) -> Server:
    return Server([sys.executable, "-c", code], folder / "log", dict(os.environ))


def test_a_server_and_what_it_started_are_gone_afterwards(tmp_path: Path) -> None:
    def child_pid() -> int | None:
        text = (tmp_path / "log").read_text().strip()
        return int(text) if text else None

    with server(PARENT, tmp_path) as running:
        pid = until(child_pid, "the child's id", limit_s=60, server=running)
        child = psutil.Process(pid)
    _, alive = psutil.wait_procs([child], timeout=60)
    assert alive == []


def test_a_server_that_ends_early_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with (
        server("raise SystemExit('no such model')", tmp_path) as running,
        pytest.raises(BenchmarkUnable, match="no such model"),
    ):
        until(lambda: None, "anything", limit_s=60, server=running)


def test_waiting_is_bounded(tmp_path: Path) -> None:
    with (
        server("import time; time.sleep(600)", tmp_path) as running,
        pytest.raises(BenchmarkUnable, match="a miracle"),
    ):
        until(lambda: None, "a miracle", limit_s=0.1, server=running)

"""The engine host that most tests of this folder talk to, over fake engines."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.config import StateFolder
from tests.fakes.host import FakeHost, fake_fleet, running_host


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path)


@pytest.fixture
def host(folder: StateFolder) -> Iterator[FakeHost]:
    with running_host(fake_fleet(["a", "b"], {"host-0": "a"}), folder, "host-0") as running:
        yield running

"""The command line over a small fleet, in this process."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from serving.config import Fleet, StateFolder
from tests.fakes.host import fake_fleet
from turntable import cli

Run = Callable[..., int]


@pytest.fixture
def fleet() -> Fleet:
    return fake_fleet(["one", "two"], {"host-0": "one", "host-1": "one"})


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / "state")


@pytest.fixture
def run(
    fleet: Fleet, state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    """Runs the command line in this process; the exit code."""
    file = tmp_path / "fleet.yaml"
    file.write_text(yaml.safe_dump(fleet.model_dump(mode="json")))

    def runner(*arguments: str) -> int:
        options = ["--fleet", str(file), "--state", str(state.root)]
        monkeypatch.setattr(sys, "argv", ["turntable", *options, *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        assert code is None or isinstance(code, int)
        return code or 0

    return runner

"""Fixtures that all tests share: checkpoints prepared once, and state folders over them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from serving.config import ModelSettings, StateFolder
from serving.config.fleet import PackagedSource
from serving.weights import prepare

# No test depends on speed, nor on luck: every run tries the same cases. To look for others,
# set TURNTABLE_TEST_NEW_CASES to anything.
settings.register_profile(
    "turntable",
    deadline=None,
    derandomize="TURNTABLE_TEST_NEW_CASES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("turntable")

# Through the standard library, so that a test's log is shown with its failure and not otherwise.
structlog.configure(logger_factory=structlog.stdlib.LoggerFactory())


@pytest.fixture(scope="session")
def prepared_state(pytestconfig: pytest.Config) -> StateFolder:
    """A state folder with the packaged model's checkpoint; made once, kept between runs.

    `TURNTABLE_TEST_STATE` names another place for it. Tests read it and write elsewhere.
    """
    place = os.environ.get("TURNTABLE_TEST_STATE")
    state = StateFolder(Path(place).resolve() if place else _kept(pytestconfig))
    packaged = ModelSettings(name="smollm2", source=PackagedSource(kind="packaged"))
    prepare(packaged, state, lambda _sentence: None)
    return state


def _kept(pytestconfig: pytest.Config) -> Path:
    """A folder that pytest keeps between runs."""
    assert pytestconfig.cache is not None
    return pytestconfig.cache.mkdir("turntable-state")


@pytest.fixture
def new_state(prepared_state: StateFolder, tmp_path: Path) -> Callable[[str], StateFolder]:
    """Makes empty state folders that share the prepared checkpoints."""

    def make(name: str = "state") -> StateFolder:
        root = tmp_path / name
        root.mkdir()
        (root / "weights").symlink_to(prepared_state.weights)
        return StateFolder(root)

    return make

"""One real pool for all end-to-end tests; each test leaves both hosts serving `exact`."""

from collections.abc import Iterator

import pytest

from serving.config import StateFolder
from tests.end_to_end.pool import Pool


@pytest.fixture(scope="session")
def running_pool(
    prepared_state: StateFolder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pool]:
    folder = tmp_path_factory.mktemp("pool")
    (folder / "state").mkdir()
    (folder / "state" / "weights").symlink_to(prepared_state.weights)
    pool = Pool(folder, StateFolder(folder / "state"))
    try:
        pool.start()
        yield pool
    finally:
        pool.stop()


@pytest.fixture
def pool(running_pool: Pool) -> Pool:
    """The pool, with both hosts serving `exact`, whatever the test before has left."""
    running_pool.restore()
    return running_pool

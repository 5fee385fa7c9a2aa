"""The state folder: paths and secrets."""

import stat
from pathlib import Path

from serving.config import StateFolder


def test_a_token_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    first = state.token("admin")
    assert first == StateFolder(tmp_path).token("admin")
    assert first != state.token("store")
    mode = (tmp_path / "secrets" / "admin").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600

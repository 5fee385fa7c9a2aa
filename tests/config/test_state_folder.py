"""The state folder: paths and secrets."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from serving.config import StateFolder


def test_a_token_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    first = state.token("admin")
    assert first == StateFolder(tmp_path).token("admin")
    assert first != state.token("store")
    mode = (tmp_path / "secrets" / "admin").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_all_who_ask_for_a_token_at_once_get_the_same_one(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    names = [f"token-{number // 8}" for number in range(160)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(state.token, names))
    assert all(found)
    assert found == [state.token(name) for name in names]
    assert sorted(path.name for path in (tmp_path / "secrets").iterdir()) == sorted(set(names))

"""The page of a hotswap's states is what the code does."""

from pathlib import Path
from typing import get_args

from serving.engine.decisions import table
from serving.engine.decisions.transaction import Phase

PAGE = Path(__file__).parents[2] / "docs" / "hotswap.md"


def test_the_page_is_what_the_transaction_does() -> None:
    assert PAGE.read_text() == table.render()


def test_every_phase_is_on_the_page() -> None:
    for phase in get_args(Phase):
        assert f"\n| `{phase}` |" in table.render()

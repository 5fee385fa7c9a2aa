"""What `turntable up` says when everything is ready."""

import shlex
from hashlib import sha256
from pathlib import Path

from rich.console import Console

from serving.config import Fleet, StateFolder
from turntable.supervision.display import Display
from turntable.supervision.instance import describe


def first_request(fleet: Fleet, state: StateFolder) -> list[str]:
    """The words of the request that is shown to be pasted into a shell."""
    console = Console(width=200, record=True, quiet=False, stderr=True)
    Display(console).where(describe(fleet, Path("fleet.yaml"), state, 0.0))
    _, _, command = console.export_text().partition("  curl ")
    return shlex.split(command)


def test_the_first_request_carries_no_key_where_nobody_needs_one(
    fleet: Fleet, state: StateFolder
) -> None:
    assert not any("Bearer" in word for word in first_request(fleet, state))


def test_the_first_request_carries_the_operators_key_where_keys_are_named(
    fleet: Fleet, state: StateFolder
) -> None:
    key = {"name": "ada", "sha256": sha256(b"secret").hexdigest()}
    keyed = Fleet.model_validate(fleet.model_dump() | {"keys": [key]})
    token = state.token("operator")

    (header,) = (word for word in first_request(keyed, state) if "Bearer" in word)

    assert header == f"Authorization: Bearer $(cat {state.root}/secrets/operator)"
    assert token not in header

"""A batch line asked for again under its key goes on from the tokens that were kept of it."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from serving.config import Fleet, StateFolder
from serving.wire import GenerateRequest
from tests.fakes.host import wait_until
from tests.gateway.conftest import EXACT, GatewayThread, Stage
from tests.gateway.test_resuming import TEXT, sent
from tests.ports import free_ports

KEY = {"x-turntable-checkpoint": "batch_1/7"}
BODY: dict[str, Any] = {
    "model": EXACT,
    "prompt": "Tell",
    "max_tokens": 60,
    "temperature": 0,
    "service_tier": "flex",
}


def remembered(stage: Stage) -> tuple[list[int], list[GenerateRequest]]:
    """The tokens of TEXT, and what hosts are asked from now on."""
    tokens = stage.tokenizer.encode(TEXT)
    seen: list[GenerateRequest] = []
    script = [*tokens, stage.tokenizer.eos_token_id]

    def answer(request: GenerateRequest) -> list[int]:
        seen.append(request)
        return script

    stage.answer(answer)
    return tokens, seen


def half_made(stage: Stage, key: dict[str, str]) -> Any:
    """A line of which three tokens exist, and no more come; some are in the journal."""
    stage.gates("close")
    stage.gates("let", 3)
    client = sent(stage, BODY, key)
    (name,) = key.values()
    wait_until(lambda: name.encode() in journal(stage).read_bytes())
    return client


def journal(stage: Stage) -> Path:
    return stage.gateway.state.partials(stage.gateway.fleet.gateway.port) / "journal"


def test_a_line_whose_gateway_died_goes_on_at_the_next(stage: Stage, tmp_path: Path) -> None:
    tokens, seen = remembered(stage)
    client = half_made(stage, KEY)
    fleet = stage.gateway.fleet
    port = free_ports(1)[0]
    state = StateFolder(tmp_path)
    for name in ("weights", "secrets"):
        (tmp_path / name).symlink_to(stage.gateway.state.root / name)
    shutil.copy(journal(stage), state.partials(port) / "journal")
    settings = fleet.model_dump()
    settings["gateway"]["port"] = port
    second = GatewayThread(Fleet.model_validate(settings), state)
    second.start()
    try:
        client.close()
        stage.gates("open")
        wait_until(lambda: not any(stage.running_on(name) for name in stage.hosts))
        answer = second.http.post("/v1/completions", json=BODY, headers=KEY).json()
    finally:
        second.stop()

    assert answer["choices"][0]["text"] == TEXT
    assert answer["usage"]["completion_tokens"] == len(tokens) + 1, "a token counts once"
    assert seen[-1].resumed_token_ids == tokens[: len(seen[-1].resumed_token_ids)] != []


def test_a_line_whose_connection_broke_goes_on_when_it_is_asked_for_again(stage: Stage) -> None:
    tokens, seen = remembered(stage)
    half_made(stage, {"x-turntable-checkpoint": "batch_1/8"}).close()
    stage.ended(1)
    stage.gates("open")

    again = stage.http.post(
        "/v1/completions", json=BODY, headers={"x-turntable-checkpoint": "batch_1/8"}
    ).json()

    assert again["choices"][0]["text"] == TEXT
    assert again["usage"]["completion_tokens"] == len(tokens) + 1
    assert seen[-1].resumed_token_ids == tokens[: len(seen[-1].resumed_token_ids)] != []


@pytest.mark.parametrize(
    "changes",
    [{"prompt": "Tell me"}, {"max_tokens": 50}, {"presence_penalty": 0.5}],
    ids=["another prompt", "other sampling", "not resumable"],
)
def test_what_would_not_be_the_same_starts_over(stage: Stage, changes: dict[str, Any]) -> None:
    _, seen = remembered(stage)
    key = {"x-turntable-checkpoint": f"batch_2/{next(iter(changes))}"}
    half_made(stage, key).close()
    stage.ended(1)
    stage.gates("open")

    again = stage.http.post("/v1/completions", json=BODY | changes, headers=key).json()

    assert again["choices"][0]["text"] == TEXT
    assert seen[-1].resumed_token_ids == []


def test_a_key_that_is_none_is_refused(stage: Stage) -> None:
    answer = stage.http.post(
        "/v1/completions", json=BODY, headers={"x-turntable-checkpoint": "a b"}
    )
    assert answer.status_code == 400
    assert "x-turntable-checkpoint" in answer.text

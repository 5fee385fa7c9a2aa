"""Measuring batch sizes, against real host applications over fake engines."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace as replace_measurement
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from orchestration.assembly import build_definitions
from orchestration.assets.profiles import CHECK, check
from orchestration.errors import ProfileError
from orchestration.names import PROFILES
from orchestration.profiling.figures import (
    Round,
    SizeFigures,
    Timed,
    batch_sizes,
    figures_of,
    profile_of,
    round_of,
)
from orchestration.profiling.lookout import disturbance
from orchestration.profiling.measuring import Measurement, Target, measure
from orchestration.profiling.record import ProfileRecord
from serving.wire import ClassCounts, GenerateRequest
from tests.fakes.generate import Reader, generate_request
from tests.orchestration.building import a_state
from tests.orchestration.conftest import Rig, RigMaker

FAST = Measurement(
    name="test",
    prompt_tokens=5,
    output_tokens=8,
    rounds=2,
    probes=2,
    disturbed_rounds=1,
    quiet_s=90,
    round_s=90,
)
IMPATIENT = replace_measurement(FAST, quiet_s=0.5)
"""Of an engine that does not get quiet."""
MODELS: dict[str, dict[str, int]] = {"a": {"slots": 4, "interactive_cap": 4}, "b": {}}


@pytest.fixture
def instance() -> Any:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def rig(make_rig: RigMaker) -> Rig:
    made = make_rig(MODELS, {"h-0": "a"})
    made.hosts["h-0"].engines.delay_s = 0.01
    return made


def target(rig: Rig) -> Target:
    host = rig.hosts["h-0"]
    return Target(
        host="h-0",
        address=host.address,
        port=host.port,
        token=host.token,
        model="a",
        slots=4,
        max_model_len=2048,
    )


def measured(rig: Rig, measurement: Measurement = FAST) -> list[SizeFigures]:
    return asyncio.run(measure(target(rig), measurement, lambda _line: None))


def materialize(
    rig: Rig, instance: dg.DagsterInstance, model: str = "a", **config: Any
) -> dg.ExecuteInProcessResult:
    job = build_definitions(rig.installation).resolve_job_def("profiles")
    settings = {"prompt_tokens": 5, "output_tokens": 8, "rounds": 1, "probes": 1, "quiet_s": 90}
    return job.execute_in_process(
        instance=instance,
        raise_on_error=False,
        partition_key=model,
        run_config={"ops": {PROFILES.to_python_identifier(): {"config": settings | config}}},
    )


def failure(result: dg.ExecuteInProcessResult) -> str:
    data = result.failure_data_for_node(PROFILES.to_python_identifier())
    assert data is not None
    assert data.user_failure_data is not None
    return data.user_failure_data.description or ""


def noted(
    asked: list[GenerateRequest], *, also: Callable[[GenerateRequest], None] = lambda _request: None
) -> Callable[[GenerateRequest], list[int]]:
    """An answer for fake engines that notes who asked."""

    def answer(request: GenerateRequest) -> list[int]:
        asked.append(request)
        also(request)
        return [7] * request.sampling.max_tokens

    return answer


def a_size(batch_size: int, tokens_per_s: float) -> SizeFigures:
    return SizeFigures(
        batch_size=batch_size,
        tokens_per_s=tokens_per_s,
        tpot_p50_s=0.02,
        tpot_p99_s=0.03,
        ttft_p50_s=0.1,
        ttft_p99_s=0.2,
        disturbed=0,
    )


@given(st.integers(1, 300))
def test_batch_sizes_double_up_to_the_slots(slots: int) -> None:
    sizes = batch_sizes(slots)

    assert sizes[0] == 1
    assert sizes[-1] == slots
    assert all(before < after <= 2 * before for before, after in pairwise(sizes))


def test_a_round_counts_what_came_while_all_were_running() -> None:
    last = Timed(asked_at=9.0, arrivals=[(10.0, 1), (11.0, 1), (12.0, 1)])
    other = Timed(asked_at=0.0, arrivals=[(n + 0.5, 1) for n in range(20)])

    seen = round_of(last, [other], [last.ttft_s])

    assert seen.tokens_per_s == pytest.approx(2.0)
    assert seen.gaps_s == (1.0, 1.0, 1.0)
    assert seen.ttfts_s == (1.0,)


def test_tokens_that_come_together_share_their_gap() -> None:
    last = Timed(asked_at=0.0, arrivals=[(1.0, 1), (2.0, 4)])

    assert round_of(last, [], []).gaps_s == (0.25,) * 4


def test_the_figures_of_a_size_pool_its_rounds() -> None:
    rounds = [
        Round(tokens_per_s=rate, gaps_s=(0.1,) * 99 + (gap,), ttfts_s=(1.0,))
        for rate, gap in ((10.0, 0.1), (30.0, 0.5), (20.0, 0.9))
    ]

    figures = figures_of(2, rounds, disturbed=1)

    assert (figures.tokens_per_s, figures.tpot_p50_s, figures.tpot_p99_s) == (20.0, 0.1, 0.1)
    assert figures_of(2, rounds[1:2] * 2, 0).tpot_p99_s == 0.1
    assert figures_of(2, [replace(rounds[1], gaps_s=(0.1,) * 9 + (0.5,))], 0).tpot_p99_s == 0.5


def test_every_batch_size_is_held_while_times_to_first_token_are_taken(rig: Rig) -> None:
    asked: list[GenerateRequest] = []
    rig.hosts["h-0"].engines.answer = noted(asked)

    figures = measured(rig)

    assert [one.batch_size for one in figures] == [1, 2, 4]
    assert all(one.ttft_p50_s >= 0.01 for one in figures)
    # A token that its reader saw late makes the gap after it look short.
    assert all(one.tpot_p50_s >= 0.005 for one in figures)
    assert all(one.disturbed == 0 for one in figures)
    sizes = Counter(request.request_id.split(".")[1] for request in asked)
    rounds, probes = FAST.rounds, FAST.probes
    assert sizes == {"warm-up": 1} | {str(n): rounds * (n - 1 + probes) for n in (1, 2, 4)}


def test_no_two_prompts_are_alike_so_none_is_found_in_the_cache(rig: Rig) -> None:
    asked: list[GenerateRequest] = []
    rig.hosts["h-0"].engines.answer = noted(asked)

    measured(rig)

    assert len({tuple(request.prompt_token_ids) for request in asked}) == len(asked)


def test_batch_work_on_the_engine_fails_the_measurement_too(rig: Rig) -> None:
    host = rig.hosts["h-0"]
    host.engines.gate.close()
    request = generate_request("rows", "a", request_class="batch")
    user = Reader(host.url, host.token, request).until(lambda r: r.admitted)

    with pytest.raises(ProfileError, match=r"h-0: there were 1 batch requests of others"):
        measured(rig, IMPATIENT)
    user.hang_up()


def test_a_user_who_comes_during_a_round_spoils_it(rig: Rig) -> None:
    host, users = rig.hosts["h-0"], list[Reader]()

    def user_has_come() -> None:
        users[0].until(lambda user: user.admitted)
        host.engines.gate.open()

    def with_a_user(request: GenerateRequest) -> None:
        if request.request_id.startswith("test.4.") and not users:
            host.engines.gate.close()
            user = generate_request("user", "a", max_tokens=100_000)
            users.append(Reader(host.url, host.token, user))
            Thread(target=user_has_come, daemon=True).start()

    host.engines.answer = noted([], also=with_a_user)

    with pytest.raises(ProfileError, match="size 4 was disturbed 1 times, last by 1 interactive"):
        measured(rig, replace_measurement(FAST, rounds=1, disturbed_rounds=0))
    users[0].hang_up()


def test_nothing_is_left_on_the_engine_afterwards(rig: Rig) -> None:
    measured(rig)

    host = rig.hosts["h-0"]
    with host.client() as client:
        assert client.state().waiting == ClassCounts()
    Reader(host.url, host.token, generate_request("after", "a", max_tokens=2)).end()


def test_users_on_the_engine_fail_the_measurement_with_a_reason(rig: Rig) -> None:
    host = rig.hosts["h-0"]
    host.engines.gate.close()
    user = Reader(host.url, host.token, generate_request("user", "a")).until(lambda r: r.admitted)

    with pytest.raises(ProfileError, match=r"h-0: there were 1 interactive requests of others"):
        measured(rig, IMPATIENT)
    user.hang_up()


def test_what_is_beside_the_measured_generations_is_a_disturbance() -> None:
    state = replace(
        a_state("h-0", "a"),
        running=ClassCounts(interactive=3, batch=2),
        waiting=ClassCounts(interactive=1, batch=9),
    )

    assert disturbance(state, "a", 4, batch_too=False) is None
    assert disturbance(state, "a", 4, batch_too=True) == "2 batch requests of others"
    assert disturbance(state, "a", 1, batch_too=True) == "3 interactive requests of others"
    with pytest.raises(ProfileError, match="awake model a"):
        disturbance(state, "b", 4, batch_too=False)
    with pytest.raises(ProfileError, match="phase is swapping"):
        disturbance(replace(state, phase="swapping"), "a", 4, batch_too=False)


def test_a_profile_is_a_materialization_a_file_and_rows_in_the_store(
    rig: Rig, instance: dg.DagsterInstance
) -> None:
    with rig.store.reader() as reader:
        reader.query("DELETE FROM batch_size_points")

    result = materialize(rig, instance)

    assert result.success
    (event,) = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert "data:image/png;base64," in str(metadata["picture"].value)
    points = metadata["points"].records  # type: ignore[union-attr]
    assert [row.data["batch size"] for row in points] == [1, 2, 4]
    (profile,) = ProfileRecord.of(rig.state).read()
    assert (profile.model, [point.batch_size for point in profile.points]) == ("a", [1, 2, 4])
    with rig.store.reader() as reader:
        rows = reader.query("SELECT model, host, batch_size FROM batch_size_points ORDER BY ALL")
    assert rows.rows() == [("a", "h-0", 1), ("a", "h-0", 2), ("a", "h-0", 4)]
    (evaluation,) = result.get_asset_check_evaluations()
    assert evaluation.check_name == CHECK
    assert "missing" in evaluation.metadata


def test_a_model_that_is_awake_nowhere_says_how_to_wake_it(
    rig: Rig, instance: dg.DagsterInstance
) -> None:
    result = materialize(rig, instance, model="b")

    assert not result.success
    assert "turntable swap b --host h-0" in failure(result)
    assert ProfileRecord.of(rig.state).read() == []


def test_a_host_that_does_not_serve_the_model_is_refused_by_name(
    rig: Rig, instance: dg.DagsterInstance
) -> None:
    assert "there is no such host" in failure(materialize(rig, instance, host="h-9"))
    assert "not awake on h-0" in failure(materialize(rig, instance, model="b", host="h-0"))


def test_a_profile_must_be_whole_and_not_fall_beyond_noise() -> None:
    good = [a_size(1, 50), a_size(2, 100), a_size(4, 95)]
    falling = [a_size(1, 50), a_size(2, 100), a_size(4, 80)]

    assert check(good, slots=4).passed
    assert not check(falling, slots=4).passed
    assert not check(good[:2], slots=4).passed


def test_the_record_keeps_the_latest_of_each_model_and_hardware(tmp_path: Path) -> None:
    record = ProfileRecord(tmp_path)
    for hardware, at in (("CPU, 1 core", 1.0), ("CPU, 1 core", 2.0), ("1 x GPU", 3.0)):
        record.write(profile_of("a", hardware, at, 128, [a_size(1, 50)]))
    (tmp_path / "of-another-version.json").write_text("{}")

    assert sorted((p.hardware, p.measured_at) for p in record.read()) == [
        ("1 x GPU", 3.0),
        ("CPU, 1 core", 2.0),
    ]

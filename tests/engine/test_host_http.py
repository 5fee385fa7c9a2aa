"""The engine host as its clients see it: the real application over fake engines."""

import httpx
import msgspec
import pytest

from analytics.events import EngineSample, Eviction, Swap
from serving.clients.host import HostClient
from serving.config import StateFolder
from serving.engine.assembly import HostOptions
from serving.engine.decisions.limits import CPU_PROMPTS
from serving.engine.server import HostServer
from serving.errors import HostError, PlanRefused
from serving.wire import (
    WIRE_HEADER,
    WIRE_VERSION,
    BatchSizePoint,
    BatchSizeProfile,
    Finished,
    HandedBack,
    Held,
    Released,
    TpotLevel,
)
from tests.engine.asking import read, state, swap
from tests.fakes.engine import expected_tokens
from tests.fakes.generate import generate_request
from tests.fakes.host import FakeHost, ListSink, fake_fleet, running_host, wait_until

# ---------------------------------------------------------------- generating


def test_a_generation_is_a_stream_of_frames_ending_in_one_terminal_frame(host: FakeHost) -> None:
    reader = read(host, "r", max_tokens=5)
    assert reader.end() == Finished("length")
    assert reader.admitted
    assert reader.tokens == expected_tokens("a", [1, 2, 3], 5)


def test_a_resume_goes_on_where_the_generation_was(host: FakeHost) -> None:
    whole = expected_tokens("a", [1, 2, 3], 8)
    reader = read(host, "r", resumed_token_ids=whole[:5])
    reader.end()
    assert reader.tokens == whole[5:]


def test_a_request_for_a_model_that_is_not_awake_is_handed_back(host: FakeHost) -> None:
    assert read(host, "r", "b").end() == HandedBack("not_awake")


def test_batch_generations_are_held_for_interactive_work_and_go_on_where_they_were(
    host: FakeHost,
) -> None:
    host.engines.gate.close()
    batch = [read(host, f"b{i}", request_class="batch", prompt=[i]) for i in range(4)]
    for reader in batch:
        reader.until(lambda r: r.admitted)
    host.engines.gate.let(8)
    wait_until(lambda: sum(len(reader.tokens) for reader in batch) == 8)
    interactive = read(host, "i").until(lambda r: r.admitted)
    wait_until(lambda: sum(Held() in r.frames for r in batch) == 3)  # the cap is 2
    wait_until(lambda: state(host).held == 3)
    steering = CPU_PROMPTS.beside_interactive
    wait_until(lambda: host.engines.alive["a"].steering.batch_prefill_tokens == steering)
    host.engines.gate.open()
    interactive.end()
    for i, reader in enumerate(batch):
        assert reader.end() == Finished("length")
        assert reader.tokens == expected_tokens("a", [i], 8)
        assert reader.frames.count(Held()) == reader.frames.count(Released())
    steering = CPU_PROMPTS.alone
    wait_until(lambda: host.engines.alive["a"].steering.batch_prefill_tokens == steering)
    assert isinstance(host.sink, ListSink)
    evictions = [event for event in host.sink.events if isinstance(event, Eviction)]
    assert {event.request_id for event in evictions} == {
        f"b{i}" for i, reader in enumerate(batch) if Held() in reader.frames
    }
    assert all(event.in_place for event in evictions)


def test_closing_the_connection_gives_the_slot_back(host: FakeHost) -> None:
    host.engines.gate.close()
    reader = read(host, "r").until(lambda r: r.admitted)
    assert state(host).running.interactive == 1
    reader.hang_up()
    wait_until(lambda: state(host).running.interactive == 0)


def test_delete_aborts_a_generation(host: FakeHost) -> None:
    host.engines.gate.close()
    reader = read(host, "r").until(lambda r: r.admitted)
    headers = {"Authorization": f"Bearer {host.token}", WIRE_HEADER: str(WIRE_VERSION)}
    assert httpx.delete(f"{host.url}/generate/r", headers=headers).status_code == 204
    wait_until(lambda: state(host).running.interactive == 0)
    reader.end()
    assert httpx.delete(f"{host.url}/generate/r", headers=headers).status_code == 404


# ---------------------------------------------------------------- batch-size profiles


def profile(model: str, level_met_at: int) -> BatchSizeProfile:
    """The default service level of 0.1 s is met up to so many generations."""
    points = [BatchSizePoint(n, 0.1001 * n / level_met_at, 0.1, 50.0) for n in (1, 2, 3, 4)]
    return BatchSizeProfile(model=model, hardware="test", measured_at=1.0, points=points)


def test_a_profile_sets_the_interactive_cap_and_is_kept_over_a_restart(host: FakeHost) -> None:
    assert state(host).interactive_cap == 2
    with host.client() as client:
        client.give_profile(profile("a", 4))
    assert state(host).interactive_cap == 3
    host.restart()
    assert state(host).interactive_cap == 3


def test_the_cap_of_a_model_is_remembered_over_hotswaps(host: FakeHost) -> None:
    with host.client() as client:
        client.give_profile(profile("a", 4))
    swap(host, "b", 1)
    assert state(host).interactive_cap == 2
    swap(host, "a", 2)
    assert state(host).interactive_cap == 3


def test_a_profile_of_an_unknown_model_or_at_anothers_address_is_refused(host: FakeHost) -> None:
    with host.client() as client, pytest.raises(PlanRefused, match="nothing"):
        client.give_profile(profile("nothing", 4))
    answer = httpx.put(
        f"{host.url}/profiles/b",
        headers={"Authorization": f"Bearer {host.token}"},
        content=msgspec.json.encode(profile("a", 4)),
    )
    assert answer.status_code == 400
    assert "profile is of a" in answer.text


def test_another_level_moves_the_cap_until_a_restart(host: FakeHost) -> None:
    with host.client() as client:
        client.give_profile(profile("a", 4))
        client.keep_to_level("a", TpotLevel(tpot_s=0.0501))
        assert state(host).interactive_cap == 2
        with pytest.raises(PlanRefused, match="nothing"):
            client.keep_to_level("nothing", TpotLevel(tpot_s=0.05))
    host.restart()
    assert state(host).interactive_cap == 3


def test_holds_and_releases_are_metrics(host: FakeHost) -> None:
    host.engines.gate.close()
    batch = [read(host, f"b{i}", request_class="batch").until(lambda r: r.admitted) for i in (0, 1)]
    first = read(host, "i").until(lambda r: r.admitted)
    wait_until(lambda: state(host).held == 1)
    host.engines.gate.open()
    for reader in (first, *batch):
        reader.end()
    text = httpx.get(f"{host.url}/metrics").text
    assert 'turntable_evictions_total{in_place="true",model="a",reason="evicted"} 1.0' in text
    assert 'turntable_releases_total{model="a"} 1.0' in text


def test_abandoned_steps_are_a_metric_that_outlives_an_engine(host: FakeHost) -> None:
    def counted(steps: int) -> bool:
        text = httpx.get(f"{host.url}/metrics").text
        return f'turntable_steps_abandoned_total{{model="a"}} {steps}.0' in text

    host.engines.abandoned_steps = 3
    wait_until(lambda: counted(3))
    host.engines.abandoned_steps = 1
    wait_until(lambda: counted(4))


# ---------------------------------------------------------------- tiers


def test_other_models_are_brought_to_asleep_in_the_background(folder: StateFolder) -> None:
    fleet = fake_fleet(["a", "b"], {"host-0": "a"})
    options = HostOptions(prewarm_after_s=0.0)
    with running_host(fleet, folder, "host-0", options=options) as host:
        wait_until(lambda: state(host).tiers["b"] == "asleep")
        assert swap(host, "b", 1).from_tier == "asleep"


def test_models_beyond_the_memory_budget_are_parked_and_then_stopped(
    folder: StateFolder,
) -> None:
    fleet = fake_fleet(["a", "b"], {"host-0": "a"})
    with running_host(fleet, folder, "host-0") as host:
        host.engines.asleep_bytes["a"] = 2**40
        swap(host, "b", 1)
        wait_until(lambda: state(host).tiers["a"] == "disk")
        assert ("a", "sleep") in host.engines.log
        assert "a" not in host.engines.alive


# ---------------------------------------------------------------- the interface


def test_a_long_poll_answers_when_the_state_changes(host: FakeHost) -> None:
    with host.client() as client:
        before = client.state()
        swap(host, "b", 1)
        after = client.state(after=before.revision, wait_s=20)
    assert after.revision > before.revision
    assert after.awake_model == "b"


def test_a_long_poll_without_news_answers_after_its_wait(host: FakeHost) -> None:
    with host.client() as client:
        before = client.state()
        wait_until(lambda: client.state(after=client.state().revision, wait_s=0.05) is not None)
        assert client.state().boot_id == before.boot_id


def test_an_idle_connection_is_closed_by_the_client_and_not_under_its_next_command(
    host: FakeHost,
) -> None:
    assert host.host is not None
    server = HostServer(host.host, address=host.address, port=host.port)
    of_clients = httpx.Limits().keepalive_expiry
    assert of_clients is not None
    assert server.config.timeout_keep_alive > 2 * of_clients


def test_commands_need_the_token(host: FakeHost) -> None:
    for method, path in (
        ("GET", "/state"),
        ("PUT", "/awake"),
        ("PUT", "/grant"),
        ("POST", "/switch"),
        ("POST", "/generate"),
    ):
        assert httpx.request(method, host.url + path).status_code == 401
    with HostClient(host.address, host.port, "wrong") as client, pytest.raises(HostError):
        client.state()
    assert httpx.get(f"{host.url}/live").status_code == 200


def test_another_wire_version_is_refused_by_name(host: FakeHost) -> None:
    answer = httpx.post(
        f"{host.url}/generate",
        content=msgspec.msgpack.encode(generate_request("r", "a")),
        headers={"Authorization": f"Bearer {host.token}", WIRE_HEADER: "99"},
    )
    assert answer.status_code == 400
    assert "wire version 99, this side speaks 2" in answer.json()["error"]["what"]


def test_a_malformed_request_is_refused(host: FakeHost) -> None:
    headers = {"Authorization": f"Bearer {host.token}", WIRE_HEADER: str(WIRE_VERSION)}
    answer = httpx.post(f"{host.url}/generate", content=b"\x00nonsense", headers=headers)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "WireError")


def test_readiness_tells_why_a_host_is_not_ready(folder: StateFolder) -> None:
    fleet = fake_fleet(["a"], {"host-0": "a"})
    host = FakeHost(fleet, folder, "host-0")
    host.engines.fail_always["a", "start"] = "no weights"
    try:
        host.start(until=lambda h: state(h).phase == "failed")
        answer = httpx.get(f"{host.url}/ready")
        assert answer.status_code == 503
        assert "no weights" in answer.json()["reason"]
        host.engines.fail_always.clear()
        wait_until(host.serves)
    finally:
        host.kill()


def test_what_happens_is_counted_and_recorded(host: FakeHost) -> None:
    read(host, "r").end()
    swap(host, "b", 1)
    assert isinstance(host.sink, ListSink)
    sink = host.sink
    wait_until(lambda: any(isinstance(e, EngineSample) and e.output_tokens for e in sink.events))
    swaps = [event for event in sink.events if isinstance(event, Swap)]
    assert [(s.plan_id, s.from_model, s.to_model, s.outcome) for s in swaps] == [
        (1, "a", "b", "committed")
    ]
    text = httpx.get(f"{host.url}/metrics").text
    assert 'turntable_swaps_total{kind="planned",outcome="committed"} 1.0' in text
    assert (
        'turntable_generations_total{class="interactive",model="a",outcome="finished"} 1.0' in text
    )

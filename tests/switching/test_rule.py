"""The switching rule by example: which host is taken for whom, and when."""

from serving.switching import Decision, Queue, SharedHost, decide

WAKE_S = {"a": 0.5, "b": 0.5, "c": 0.5}
ALL = ("a", "b", "c")


def host(name: str, awake: str | None, **other: object) -> SharedHost:
    fields: dict[str, object] = {"grant": ALL, "wake_s": WAKE_S, "awake_for_s": 60.0, **other}
    return SharedHost(name=name, awake=awake, **fields)  # type: ignore[arg-type] # test data


def taken(decision: Decision) -> list[tuple[str, str]]:
    return [(switch.host, switch.to_model) for switch in decision.switches]


def test_nothing_happens_while_nobody_waits() -> None:
    assert decide([host("h1", "a"), host("h2", "b")], [Queue("c")]) == Decision()


def test_an_idle_host_is_taken_at_once_the_one_unused_longest() -> None:
    hosts = [host("h1", "a", unused_for_s=3.0), host("h2", "b", unused_for_s=9.0)]
    assert taken(decide(hosts, [Queue("c", interactive=1)])) == [("h2", "c")]


def test_an_idle_host_whose_model_has_another_is_taken_before_a_models_last_one() -> None:
    hosts = [
        host("h1", "a", unused_for_s=1.0),
        host("h2", "a", interactive=1),
        host("h3", "b", unused_for_s=9.0),
    ]
    assert taken(decide(hosts, [Queue("c", interactive=1)])) == [("h1", "c")]


def test_a_host_where_the_model_sleeps_is_taken_before_one_where_it_is_on_disk() -> None:
    on_disk = {**WAKE_S, "c": 6.0}
    hosts = [
        host("h1", "a", unused_for_s=99.0, wake_s=on_disk),
        host("h2", "b", unused_for_s=1.0),
    ]
    assert taken(decide(hosts, [Queue("c", interactive=1)])) == [("h2", "c")]


def test_a_host_is_never_switched_outside_its_grant() -> None:
    hosts = [host("h1", "a", grant=("a", "b")), host("h2", "b", grant=("b",))]
    assert decide(hosts, [Queue("c", interactive=5, interactive_wait_s=60.0)]) == Decision()


def test_a_busy_host_is_left_only_when_the_waiting_one_has_lost_its_patience() -> None:
    hosts = [host("h1", "a", interactive=1)]
    waiting = decide(hosts, [Queue("b", interactive=1, ttft_s=2.0, interactive_wait_s=0.25)])
    assert waiting.switches == ()
    assert waiting.ask_again_s == 0.5  # half of 2.0 - 0.5, less what it has waited
    impatient = decide(hosts, [Queue("b", interactive=1, ttft_s=2.0, interactive_wait_s=0.75)])
    assert taken(impatient) == [("h1", "b")]


def test_a_busy_host_is_not_left_before_it_had_its_model_for_as_long_as_a_swap_takes() -> None:
    hosts = [host("h1", "a", interactive=1, awake_for_s=0.1)]
    decision = decide(hosts, [Queue("b", interactive=1, interactive_wait_s=60.0)])
    assert decision.switches == ()
    assert decision.ask_again_s == 0.4


def test_where_who_waits_is_late_anyway_a_host_does_more_than_it_would_compute_again() -> None:
    hosts = [host("h1", "a", interactive=3, awake_for_s=3.0, resume_s=2.0)]
    in_time = decide(hosts, [Queue("b", interactive=1, interactive_wait_s=1.4)])
    assert taken(in_time) == [("h1", "b")]
    late = decide(hosts, [Queue("b", interactive=1, interactive_wait_s=1.6)])
    assert late.switches == ()
    assert late.ask_again_s == 9.5  # a swap of 0.5 and six times 2.0, less what it has done


def test_what_waits_for_its_first_token_is_served_before_its_host_is_left() -> None:
    hosts = [host("h1", "a", interactive=1, unanswered=1)]
    waiting = decide(hosts, [Queue("b", interactive=1, interactive_wait_s=1.0)])
    assert waiting.switches == ()
    last_call = decide(hosts, [Queue("b", interactive=1, interactive_wait_s=1.5)])
    assert taken(last_call) == [("h1", "b")]


def test_a_host_that_just_woke_is_not_taken_from_those_it_woke_for() -> None:
    hosts = [host("h1", "a", awake_for_s=0.0)]
    queues = [Queue("a", interactive=3), Queue("b", interactive=1, interactive_wait_s=0.1)]
    assert decide(hosts, queues).switches == ()


def test_one_host_for_a_burst_however_many_wait() -> None:
    hosts = [host(f"h{n}", "a") for n in range(4)]
    assert len(decide(hosts, [Queue("b", interactive=50)]).switches) == 1


def test_a_model_on_its_way_gets_no_second_host() -> None:
    hosts = [host("h1", "a", coming="b"), host("h2", "a")]
    assert decide(hosts, [Queue("b", interactive=50)]) == Decision()


def test_more_hosts_where_the_prompts_that_wait_are_more_than_one_answers_in_time() -> None:
    hosts = [host(f"h{n}", "a") for n in range(8)]
    queue = Queue("b", interactive=50, prompt_work_s=2.0, ttft_s=2.0)
    assert len(decide(hosts, [queue]).switches) == 3  # 0.75 s of prompts before each


def test_more_hosts_are_never_taken_from_the_last_replica_in_use() -> None:
    hosts = [host("h1", "b", interactive=9, unanswered=9), host("h2", "a", interactive=1)]
    queue = Queue("b", prompt_work_s=9.0)
    assert decide(hosts, [queue]).switches == ()


def test_the_maximum_of_replicas_holds() -> None:
    hosts = [host(f"h{n}", "a") for n in range(8)]
    queue = Queue("b", interactive=50, prompt_work_s=9.0, max_replicas=2)
    assert len(decide(hosts, [queue]).switches) == 2


def test_interactive_requests_take_a_host_with_batch_work_at_once() -> None:
    hosts = [host("h1", "a", batch=8, awake_for_s=0.1)]
    assert taken(decide(hosts, [Queue("b", interactive=1)])) == [("h1", "b")]


def test_batch_takes_what_nobody_uses_and_never_a_host_in_use() -> None:
    queue = Queue("b", batch=9, batch_wait_s=60.0)
    assert decide([host("h1", "a", interactive=1)], [queue]).switches == ()
    assert taken(decide([host("h1", "a", unused_for_s=5.0)], [queue])) == [("h1", "b")]


def test_batch_beyond_the_slots_of_its_engines_borrows_a_host_that_nobody_uses_for_long() -> None:
    queue = Queue("a", batch_queued=9)
    own = host("h1", "a", batch=32)
    soon = decide([own, host("h2", "b", unused_for_s=4.0)], [queue])
    assert (soon.switches, soon.ask_again_s) == ((), 6.0)
    assert taken(decide([own, host("h2", "b", unused_for_s=11.0)], [queue])) == [("h2", "a")]


def test_batch_beyond_the_slots_of_its_engines_takes_no_host_that_is_used() -> None:
    queue = Queue("a", batch_queued=9, batch_wait_s=60.0)
    own = host("h1", "a", batch=32)
    for other in (host("h2", "b", batch=1), host("h2", "b", interactive=1)):
        assert decide([own, other], [queue]) == Decision()


def test_batch_shares_a_host_with_other_batch_in_long_turns() -> None:
    queue = Queue("b", batch=9, batch_wait_s=20.0)
    waiting = decide([host("h1", "a", batch=4)], [queue])
    assert (waiting.switches, waiting.ask_again_s) == ((), 10.0)


def test_batch_that_waited_beyond_all_bounds_is_treated_as_interactive() -> None:
    hosts = [host("h1", "a", interactive=1)]
    assert taken(decide(hosts, [Queue("b", batch=1, batch_wait_s=601.0)])) == [("h1", "b")]


def test_a_switch_says_why() -> None:
    (switch,) = decide([host("h1", "a", unused_for_s=4.0)], [Queue("c", interactive=2)]).switches
    assert switch.reason == "c: 2 interactive requests wait, 0.0 s; h1 has been idle for 4.0 s"

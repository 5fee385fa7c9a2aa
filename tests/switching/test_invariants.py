"""What the switching rule never does, whatever hosts and queues there are."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from serving.switching import Queue, SharedHost, Switch, decide
from serving.switching.timing import LATE_RESUMES, last_call_s, stay_s, wake_s

MODELS = ("a", "b", "c", "d")
SECONDS = st.floats(0, 100, allow_nan=False)
COUNT = st.integers(0, 5)


@st.composite
def shared_hosts(draw: st.DrawFn) -> list[SharedHost]:
    hosts = []
    for number in range(draw(st.integers(0, 6))):
        grant = tuple(draw(st.permutations(MODELS)))[: draw(st.integers(1, 4))]
        interactive, batch = draw(COUNT), draw(COUNT)
        hosts.append(
            SharedHost(
                name=f"h{number}",
                grant=grant,
                awake=draw(st.sampled_from((*grant, None))),
                coming=draw(st.sampled_from((*grant, None, None, None))),
                awake_for_s=draw(SECONDS),
                unused_for_s=0.0 if interactive + batch else draw(SECONDS),
                interactive=interactive,
                batch=batch,
                unanswered=draw(st.integers(0, interactive)),
                wake_s={model: draw(st.sampled_from((0.05, 0.7, 6.0))) for model in grant},
            )
        )
    return hosts


QUEUES = st.lists(
    st.builds(
        Queue,
        model=st.sampled_from(MODELS),
        interactive=COUNT,
        batch=COUNT,
        interactive_wait_s=SECONDS,
        batch_wait_s=st.floats(0, 700),
        batch_queued=COUNT,
        prompt_work_s=st.floats(0, 20),
        ttft_s=st.sampled_from((0.5, 2.0, 10.0)),
        max_replicas=st.sampled_from((None, 1, 2)),
    ),
    unique_by=lambda queue: queue.model,
)


def checked(hosts: list[SharedHost], queues: list[Queue]) -> list[tuple[SharedHost, Switch]]:
    named = {host.name: host for host in hosts}
    return [(named[switch.host], switch) for switch in decide(hosts, queues).switches]


@given(hosts=shared_hosts(), queues=QUEUES, data=st.data())
def test_the_same_input_in_any_order_gives_the_same_answer(
    hosts: list[SharedHost], queues: list[Queue], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(hosts)), data.draw(st.permutations(queues))
    assert decide(*shuffled) == decide(hosts, queues)


@given(hosts=shared_hosts(), queues=QUEUES)
def test_a_switch_is_from_what_is_awake_to_what_is_granted_and_waited_for(
    hosts: list[SharedHost], queues: list[Queue]
) -> None:
    waited_for = {q.model for q in queues if _wanted(q)}
    switched = checked(hosts, queues)
    for host, switch in switched:
        assert switch.from_model == host.awake != switch.to_model
        assert switch.to_model in host.grant
        assert host.coming is None
        assert switch.to_model in waited_for
    assert max(Counter(host.name for host, _ in switched).values(), default=1) == 1


def _wanted(queue: Queue) -> bool:
    return bool(queue.interactive or queue.batch or queue.batch_queued or queue.prompt_work_s)


@given(hosts=shared_hosts(), queues=QUEUES)
def test_no_stampede(hosts: list[SharedHost], queues: list[Queue]) -> None:
    by_model = {queue.model: queue for queue in queues}
    assigned = Counter(host.assigned for host in hosts)
    taken = Counter(switch.to_model for _, switch in checked(hosts, queues))
    for model, count in taken.items():
        queue = by_model[model]
        least_s = min(wake_s(h, model) for h in hosts if model in h.grant)
        answered_in_time = last_call_s(queue.ttft_s, least_s) / 2
        for_batch = 1 if queue.batch_queued and count == 1 else 0
        enough = max(1 + queue.prompt_work_s / answered_in_time, assigned[model] + for_batch)
        assert assigned[model] + count <= enough
        assert queue.max_replicas is None or assigned[model] + count <= queue.max_replicas


@given(hosts=shared_hosts(), queues=QUEUES)
def test_a_host_in_use_is_not_left_early_nor_from_what_is_queued(
    hosts: list[SharedHost], queues: list[Queue]
) -> None:
    """Unless other hosts serve what is left: then a model that nobody serves goes first."""
    by_model = {queue.model: queue for queue in queues}
    assigned = Counter(host.assigned for host in hosts)
    for host, switch in checked(hosts, queues):
        if host.interactive:
            assert host.awake_for_s >= stay_s(host)
        waits = by_model.get(switch.from_model, Queue(switch.from_model))
        if (host.unanswered or waits.interactive) and assigned[switch.from_model] == 1:
            ttft_s = by_model[switch.to_model].ttft_s
            assert switch.waited_s >= last_call_s(ttft_s, wake_s(host, switch.to_model))


@given(hosts=shared_hosts(), queues=QUEUES)
def test_batch_alone_never_takes_a_host_from_interactive_requests(
    hosts: list[SharedHost], queues: list[Queue]
) -> None:
    only_batch = [replace(q, interactive=0, prompt_work_s=0.0, batch_wait_s=60.0) for q in queues]
    for host, _ in checked(hosts, only_batch):
        assert not host.interactive


@given(hosts=shared_hosts(), queues=QUEUES)
def test_it_asks_again_only_later(hosts: list[SharedHost], queues: list[Queue]) -> None:
    again_s = decide(hosts, queues).ask_again_s
    assert again_s is None or again_s > 0


@given(
    hosts=st.integers(1, 3),
    wake=st.sampled_from((0.05, 0.7, 3.0)),
    ttft_s=st.sampled_from((0.5, 2.0)),
    resume_s=st.sampled_from((0.0, 0.6)),
)
def test_every_models_wait_is_bounded_though_every_host_is_always_in_use(
    hosts: int, wake: float, ttft_s: float, resume_s: float
) -> None:
    """Every model has requests for ever; each turn of the clock serves what is awake."""
    step_s = wake / 4
    wakes = dict.fromkeys(MODELS, wake)
    fleet = [
        SharedHost(f"h{n}", MODELS, MODELS[n], resume_s=resume_s, wake_s=wakes)
        for n in range(hosts)
    ]
    left_s = dict.fromkeys((host.name for host in fleet), 0.0)
    waited_s = dict.fromkeys(MODELS, 0.0)
    turns = len(MODELS)
    bound_s = last_call_s(ttft_s, wake) + turns * (2 * wake + LATE_RESUMES * resume_s + 4 * step_s)
    for _ in range(400):
        served = {host.awake for host in fleet if host.coming is None}
        waited_s = {m: 0.0 if m in served else s + step_s for m, s in waited_s.items()}
        assert max(waited_s.values()) <= bound_s
        queues = [Queue(m, 1, 0, s, ttft_s=ttft_s) for m, s in waited_s.items() if m not in served]
        told = {switch.host: switch.to_model for switch in decide(fleet, queues).switches}
        left_s.update(dict.fromkeys(told, wake))
        fleet = [_turned(host, told.get(host.name), left_s, step_s) for host in fleet]


def _turned(
    host: SharedHost, to_model: str | None, left_s: dict[str, float], step_s: float
) -> SharedHost:
    """`host` one step later; a swap ends when its seconds are over."""
    if to_model is not None:
        return replace(host, awake=None, coming=to_model, interactive=0, awake_for_s=0.0)
    if host.coming is None:
        return replace(host, interactive=2, awake_for_s=host.awake_for_s + step_s)
    left_s[host.name] -= step_s
    if left_s[host.name] > 0:
        return host
    return replace(host, awake=host.coming, coming=None, interactive=2)

"""The decision: for each model that waits, the host that serves it soonest, at least harm. Pure.

A host nobody uses is taken at once, one with batch work alone too. A busy one is left when the
first request has lost its patience, when the host has had its model for as long as a swap takes,
and, before a last call, when what waits for its first token there has it; sooner if other hosts
serve its model too.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from serving.switching.leaving import Leaving, leaving
from serving.switching.timing import wake_s
from serving.switching.view import Decision, Queue, SharedHost, Switch
from serving.switching.wants import Want, wants


def decide(hosts: Iterable[SharedHost], queues: Iterable[Queue]) -> Decision:
    """The switches to make now, each host at most once, and when to ask again.

    `hosts` are all that answer, dedicated ones too: they say what is served already. The same input
    gives the same answer, in whatever order hosts and queues come.
    """
    fleet = sorted(hosts, key=lambda host: host.name)
    by_model = {queue.model: queue for queue in queues}
    assigned: Counter[str | None] = Counter(host.assigned for host in fleet)
    free = [host for host in fleet if _may_switch(host)]
    switches: list[Switch] = []
    later_s: list[float] = []
    for want in wants(by_model, assigned, _least_wake_s(free, by_model)):
        for _ in range(want.engines):
            best = _best(free, want, by_model, assigned)
            if best is None:
                break
            if best.in_s > 0:
                later_s.append(best.in_s)
                break
            free.remove(best.host)
            assigned[want.model] += 1
            assigned[best.host.awake] -= 1
            switches.append(_switch(best.host, want))
    return Decision(tuple(switches), min(later_s, default=None))


def _may_switch(host: SharedHost) -> bool:
    return len(host.grant) > 1 and host.awake is not None and host.coming is None


def _least_wake_s(free: Sequence[SharedHost], models: Iterable[str]) -> dict[str, float]:
    """For those models that a host could switch to, how soon they would serve."""
    least: dict[str, float] = {}
    for model in models:
        times = [wake_s(host, model) for host in free if model in host.grant]
        if times:
            least[model] = min(times)
    return least


def _best(
    free: Iterable[SharedHost],
    want: Want,
    queues: Mapping[str, Queue],
    assigned: Mapping[str | None, int],
) -> Leaving | None:
    found = []
    for host in free:
        if host.awake != want.model and want.model in host.grant:
            queue = queues.get(host.awake or "")
            option = leaving(host, want, queue=queue, others=assigned[host.awake] - 1)
            if option is not None:
                found.append(option)
    return min(found, key=lambda option: option.cost, default=None)


def _switch(host: SharedHost, want: Want) -> Switch:
    assert host.awake is not None
    if host.interactive or host.batch:
        left = f"{host.interactive} interactive and {host.batch} batch requests run on {host.name}"
    else:
        left = f"{host.name} has been idle for {host.unused_for_s:.1f} s"
    reason = f"{want.model}: {want.why}; {left}"
    return Switch(host.name, host.awake, want.model, want.waited_s, reason)

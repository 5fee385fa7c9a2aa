"""Where hosts share their time: an operator asks for a replica, and a run dedicates a host to it.

Of two hosts one must serve the model with a minimum, and the other is shared as long as more than
one model may be asked for: traffic alone does not dedicate it. An operator can.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from orchestration.allocation.operators.override_checks import check
from orchestration.allocation.operators.override_record import OverrideRecord
from orchestration.allocation.operators.overrides import Replicas
from turntable.demo.observation import Observation
from turntable.demo.outside import Outside
from turntable.demo.runs import hotswap_since, in_words, run_since
from turntable.demo.shift import model_without_replica

_IN_FORCE_S = 600.0
"""It would end by itself, should the demo be killed meanwhile."""
_GRANTED_S = 120.0


def show_own_host(outside: Outside, observation: Observation) -> None:
    """Hold a model at one replica, as `turntable plan replicas` does; then let go of it."""
    model = model_without_replica(outside)
    told_at = time.time()
    with _held_at_one(outside, model):
        run = run_since(outside, told_at)
        observation.expect(run["status"] == "SUCCESS", in_words(run, "the operator", told_at))
        swap = hotswap_since(outside, model, told_at)
        observation.expect(
            swap["kind"] == "planned",
            f"{swap['kind']} hotswap on {swap['host']}: {swap['from_model']} -> {model} "
            f"({swap['from_tier']}), {swap['total_s']:.1f} s, plan {swap['plan_id']}",
        )
        _await_grant(outside, swap["host"], shared=False)
        observation.note(f"{swap['host']} serves {model} alone")
    released_at = time.time()
    run = run_since(outside, released_at)
    _await_grant(outside, swap["host"], shared=True)
    observation.expect(run["status"] == "SUCCESS", f"released: {swap['host']} is shared again")


@contextmanager
def _held_at_one(outside: Outside, model: str) -> Iterator[None]:
    """`model` has one replica while this is open, by an operator's override."""
    now = time.time()
    until = now + _IN_FORCE_S
    override = Replicas(
        model=model, count=1, made_at=now, until=until, by="demo", note="to show it"
    )
    check(outside.fleet, override, now=now)
    record = OverrideRecord.of(outside.state)
    outside.say(f"telling the planner: {override.words}")
    record.add(override, now=now)
    try:
        yield
    finally:
        record.release(model, now=time.time())


def _await_grant(outside: Outside, name: str, *, shared: bool) -> None:
    """Until the gateway knows whether host `name` is shared."""

    def is_so() -> bool | None:
        grants = {host["host"]: host.get("grant", ()) for host in outside.hosts()}
        return (len(grants[name]) > 1) == shared or None

    what = "may switch again" if shared else "has one model alone"
    outside.wait_for(f"a grant by which {name} {what}", is_so, _GRANTED_S)

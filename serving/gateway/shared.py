"""What the switching rule is told of hosts and of what waits. Pure.

The readings are the pool's (`HostView`) and the queues'; the decision is `serving.switching`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from serving.config import Fleet, ModelSettings
from serving.gateway.pool import HostView
from serving.gateway.queues import Queues, Waiting
from serving.switching import Queue, SharedHost


@dataclass
class Told:
    """A switch that a host was told, until a report of the host that came after its answer."""

    model: str
    until_report: int | None = None
    """The host's report with this number shows how it ended; None: there is no answer yet."""

    def over(self, view: HostView) -> bool:
        """Whether the host's state says it all."""
        return self.until_report is not None and view.reports >= self.until_report


def shared_hosts(
    views: Iterable[HostView],
    queues: Queues,
    told: Mapping[str, Told],
    barred: Mapping[str, frozenset[str]],
) -> list[SharedHost]:
    """The hosts that answer. `barred`: models that a host has just failed to wake."""
    return [
        _shared(view, queues, told.get(view.name), barred.get(view.name))
        for view in views
        if view.answers
    ]


def _shared(
    view: HostView, queues: Queues, told: Told | None, barred: frozenset[str] | None
) -> SharedHost:
    state = view.state
    assert state is not None
    grant = tuple(model for model in state.grant if not barred or model not in barred)
    return SharedHost(
        name=view.name,
        grant=grant,
        awake=state.awake_model if state.phase == "serving" else None,
        coming=told.model if told is not None else state.swap_target,
        awake_for_s=view.awake_for_s,
        unused_for_s=view.unused_for_s,
        interactive=view.interactive,
        batch=view.batch,
        unanswered=queues.unanswered(view.name),
        resume_s=queues.resume_s(view.name),
        wake_s=state.wake_s,
    )


def queued(fleet: Fleet, queues: Queues, on_hosts: Mapping[str, int]) -> list[Queue]:
    """What waits for each model, with what its users are promised.

    `on_hosts`: by model, batch requests that wait on a host for a slot.
    """
    waiting = {each.model: each for each in queues.waiting()}
    return [
        _queue(model, waiting.get(model.name, Waiting(model.name)), on_hosts.get(model.name, 0))
        for model in fleet.models
        if model.name in waiting or on_hosts.get(model.name)
    ]


def _queue(model: ModelSettings, waiting: Waiting, batch_queued: int) -> Queue:
    return Queue(
        model=model.name,
        interactive=waiting.interactive,
        batch=waiting.batch,
        interactive_wait_s=waiting.interactive_wait_s,
        batch_wait_s=waiting.batch_wait_s,
        batch_queued=batch_queued,
        prompt_work_s=waiting.prompt_work_s,
        ttft_s=model.service_levels.ttft_s,
        max_replicas=model.max_replicas,
    )

"""Standbys: the models a plan wants ready on each host beside the one it grants. Pure.

A host brings them up and keeps them before all others, as far as its memory goes; so the next
plan's hotswap finds them asleep.
"""

from orchestration.allocation.load.demand import ModelDemand
from orchestration.allocation.plan import Plan
from serving.config import Fleet, ModelSettings


def standbys(fleet: Fleet, plan: Plan) -> dict[str, tuple[str, ...]]:
    """For every host that serves: what may be wanted there next, most wanted first.

    First come models that requests wait for and that may have one more replica; then those with a
    minimum, where the fewest hosts could be lost. Of equals, hosts next to each other in the
    fleet file keep different ones first.
    """
    found: dict[str, tuple[str, ...]] = {}
    for place, host in enumerate(host.name for host in fleet.hosts):
        granted = plan.granted(host)
        if granted is not None:
            turned = [*fleet.models[place % len(fleet.models) :], *fleet.models]
            others = {model.name: model for model in turned if model.name != granted}
            found[host] = _ordered(list(others.values()), plan)
    return found


def _ordered(models: list[ModelSettings], plan: Plan) -> tuple[str, ...]:
    waited_for = [
        model
        for model in models
        if _waiting(plan.demand[model.name]) > (0, 0)
        and plan.replicas[model.name] < model.max_replicas
    ]
    waited_for.sort(key=lambda model: _waiting(plan.demand[model.name]), reverse=True)
    minimum = [model for model in models if model.min_replicas > 0]
    minimum.sort(key=lambda model: plan.replicas[model.name] - model.min_replicas)
    return tuple(dict.fromkeys(model.name for model in (*waited_for, *minimum)))


def _waiting(demand: ModelDemand) -> tuple[int, int]:
    return demand.waiting_interactive, demand.waiting_batch

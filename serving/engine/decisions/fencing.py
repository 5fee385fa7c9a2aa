"""The fence: which commands are obeyed, and which are answered without doing anything.

What a host remembers over a restart is here too: the last hotswap obeyed, the last grant, and what
it has switched to within that.
"""

from collections.abc import Container

import msgspec

from serving.wire import Grant, SwapCommand, SwapReport, SwitchCommand


class ObeyedPlan(msgspec.Struct, frozen=True):
    """The last plan obeyed; what a host remembers across restarts."""

    plan_id: int = 0
    """Of the last hotswap."""
    model: str | None = None
    report: SwapReport | None = None
    grant: Grant | None = None
    """Of the same plan, an earlier or a later one."""
    switched_to: str | None = None
    """By the last switch since that hotswap."""

    @property
    def latest_plan_id(self) -> int:
        """Plans before this one are over."""
        return max(self.plan_id, self.grant.plan_id if self.grant else 0)

    @property
    def granted(self) -> tuple[str, ...]:
        """The models that the host may have awake; none if no plan has said."""
        return self.grant.models if self.grant else ()

    def swapped(self, command: SwapCommand, report: SwapReport | None = None) -> "ObeyedPlan":
        """With this hotswap as the last one obeyed, and the grant that comes with it.

        A model outside the grant was asked for by who knows better: it is the grant then.
        """
        models = command.grant or self.granted
        if models and command.model not in models:
            models = (command.model,)
        grant = self.grant
        if models != self.granted:
            grant = Grant(plan_id=command.plan_id, models=models)
        return ObeyedPlan(command.plan_id, command.model, report, grant)

    def first_model(self, starts_with: str | None, models: Container[str]) -> str | None:
        """What the host is to begin with, of `models`: as the fleet file says, else as planned.

        One that shares its time goes on with what it had: its requests wait for that.
        """
        planned = self.model if self.model in models else None
        if len(self.granted) < 2:
            return starts_with or planned
        wished = (self.switched_to, planned, starts_with)
        return next((name for name in wished if name in self.granted), self.granted[0])

    def known(self, models: frozenset[str]) -> "ObeyedPlan":
        """Without models of the grant that the registry has no more."""
        left = tuple(model for model in self.granted if model in models)
        if self.grant is None or left == self.grant.models:
            return self
        grant = Grant(plan_id=self.grant.plan_id, models=left) if left else None
        return msgspec.structs.replace(self, grant=grant)


def refusal(
    command: SwapCommand, obeyed: ObeyedPlan, *, awake: str | None, models: frozenset[str]
) -> str | None:
    """Why this command is fenced off, or None if it may be obeyed or repeated."""
    unknown = _unknown((command.model, *command.grant), models)
    if unknown is not None:
        return unknown
    if command.grant and command.model not in command.grant:
        return f"{command.model!r} is not in the grant that comes with it"
    if command.plan_id < obeyed.latest_plan_id:
        return _older(command.plan_id, obeyed)
    if command.plan_id == obeyed.plan_id and command.model != obeyed.model:
        return f"plan {obeyed.plan_id} was obeyed with {obeyed.model!r}, not {command.model!r}"
    if repeats(command, obeyed) or _as_expected(command, obeyed, awake):
        return None
    return f"{awake!r} is awake, not {command.expected_awake!r}"


def repeats(command: SwapCommand, obeyed: ObeyedPlan) -> bool:
    """Whether this very command was carried out before: its report is the answer."""
    return (
        obeyed.report is not None
        and command.plan_id == obeyed.plan_id
        and command.model == obeyed.model
    )


def grant_refusal(grant: Grant, obeyed: ObeyedPlan, models: frozenset[str]) -> str | None:
    """Why this grant is fenced off, or None if it may be taken over or repeated."""
    unknown = _unknown(grant.models, models)
    if unknown is not None:
        return unknown
    if grant.plan_id < obeyed.latest_plan_id:
        return _older(grant.plan_id, obeyed)
    same_plan = obeyed.grant is not None and grant.plan_id == obeyed.grant.plan_id
    if same_plan and grant.models != obeyed.granted:
        return f"plan {grant.plan_id} has granted {', '.join(obeyed.granted)} here"
    return None


def switch_refusal(
    command: SwitchCommand, obeyed: ObeyedPlan, *, awake: str | None, swapping: bool
) -> str | None:
    """Why a switch is not made, or None if it may be."""
    if command.model not in obeyed.granted:
        granted = ", ".join(obeyed.granted) or "nothing"
        return f"{command.model!r} is outside the grant: {granted}"
    if swapping:
        return "a hotswap is under way"
    if command.expected_awake != awake:
        return f"{awake!r} is awake, not {command.expected_awake!r}"
    if command.model == awake:
        return f"{awake!r} is awake already"
    return None


def _as_expected(command: SwapCommand, obeyed: ObeyedPlan, awake: str | None) -> bool:
    """The awake model is the one the plan saw, or the host has switched within its grant since."""
    expected = command.expected_awake
    return expected in (None, awake) or {expected, awake} <= set(obeyed.granted)


def _unknown(named: tuple[str, ...], models: frozenset[str]) -> str | None:
    unknown = [model for model in named if model not in models]
    return f"there is no model {unknown[0]!r} in this host's registry" if unknown else None


def _older(plan_id: int, obeyed: ObeyedPlan) -> str:
    return f"plan {plan_id} is older than plan {obeyed.latest_plan_id}, already obeyed"

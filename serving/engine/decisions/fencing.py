"""The fence: which hotswap commands are obeyed, and which are answered without doing anything."""

import msgspec

from serving.wire import SwapCommand, SwapReport


class ObeyedPlan(msgspec.Struct, frozen=True):
    """The last plan obeyed; what a host remembers across restarts."""

    plan_id: int = 0
    model: str | None = None
    report: SwapReport | None = None


def refusal(
    command: SwapCommand, obeyed: ObeyedPlan, *, awake: str | None, models: frozenset[str]
) -> str | None:
    """Why this command is fenced off, or None if it may be obeyed or repeated."""
    if command.model not in models:
        return f"there is no model {command.model!r} in this host's registry"
    if command.plan_id < obeyed.plan_id:
        return f"plan {command.plan_id} is older than plan {obeyed.plan_id}, already obeyed"
    if command.plan_id == obeyed.plan_id and command.model != obeyed.model:
        return f"plan {obeyed.plan_id} was obeyed with {obeyed.model!r}, not {command.model!r}"
    if repeats(command, obeyed):
        return None
    if command.expected_awake is not None and command.expected_awake != awake:
        return f"{awake!r} is awake, not {command.expected_awake!r}"
    return None


def repeats(command: SwapCommand, obeyed: ObeyedPlan) -> bool:
    """Whether this very command was carried out before: its report is the answer."""
    return (
        obeyed.report is not None
        and command.plan_id == obeyed.plan_id
        and command.model == obeyed.model
    )

"""What a host is told by plans and gateways: fenced off, answered, waiting, or withdrawn.

What a command that is obeyed then does is decided in `transaction` and `host`.
"""

from collections import deque
from collections.abc import Iterable

from msgspec.structs import replace

from serving.engine.decisions import effects as fx
from serving.engine.decisions import events as ev
from serving.engine.decisions.fencing import (
    ObeyedPlan,
    grant_refusal,
    refusal,
    repeats,
    switch_refusal,
)
from serving.engine.decisions.transaction import Transaction
from serving.wire import SwapCommand, SwapReport


class Commands:
    """The commands that wait, and the last plan obeyed."""

    def __init__(self, host: str, models: Iterable[str], obeyed: ObeyedPlan) -> None:
        self._host = host
        self._models = frozenset(models)
        self.obeyed = obeyed.known(self._models)
        self.waiting: deque[ev.SwapAsked] = deque()
        self._standbys_plan_id = 0

    def answer(self, asked: ev.SwapAsked, awake: str | None) -> list[fx.Effect] | None:
        """The answer to a command that needs no work; None: it is to be carried out."""
        command = asked.command
        refused = refusal(command, self.obeyed, awake=awake, models=self._models)
        if refused is not None:
            return [fx.Answer(asked.ticket, None, refused)]
        if repeats(command, self.obeyed):
            return [fx.Answer(asked.ticket, self.obeyed.report)]
        if command.model != awake:
            return None
        report = self._unchanged(asked)
        self.obeyed = self.obeyed.swapped(command, report)
        return [fx.RememberPlan(), fx.Answer(asked.ticket, report)]

    def obey(self, asked: ev.SwapAsked) -> fx.Effect:
        """From here on older plans are refused."""
        command = asked.command
        self.obeyed = self.obeyed.swapped(command)
        return fx.RememberPlan()

    def grant(self, asked: ev.GrantAsked) -> list[fx.Effect]:
        """Take a grant over, or refuse it; the same one again changes nothing."""
        refused = grant_refusal(asked.grant, self.obeyed, self._models)
        answer = fx.Answer(asked.ticket, None, refused)
        if refused is not None or asked.grant == self.obeyed.grant:
            return [answer]
        self.obeyed = replace(self.obeyed, grant=asked.grant)
        return [fx.RememberPlan(), answer]

    def refuse_switch(
        self, asked: ev.SwitchAsked, awake: str | None, *, swapping: bool
    ) -> str | None:
        """Why a switch is not made; None: it is to be carried out."""
        return switch_refusal(asked.command, self.obeyed, awake=awake, swapping=swapping)

    def plan_of(self, asked: ev.SwapAsked | ev.SwitchAsked | None) -> int:
        """The plan that a hotswap is of; a switch is of the plan that gave the grant."""
        match asked:
            case ev.SwapAsked(_, command):
                return command.plan_id
            case ev.SwitchAsked() if (grant := self.obeyed.grant) is not None:
                return grant.plan_id
        return 0

    def reported(self, transaction: Transaction, now: float) -> list[fx.Effect]:
        """A transaction has ended: record it and answer its command, if it had one."""
        command = transaction.command
        if command is None or transaction.ticket is None:
            return []
        report = transaction.report(self._host, now)
        effects: list[fx.Effect] = []
        if isinstance(command, SwapCommand):
            self.obeyed = replace(self.obeyed, report=report)
            effects.append(fx.RememberPlan())
        elif report.outcome == "committed":
            self.obeyed = replace(self.obeyed, switched_to=report.to_model)
            effects.append(fx.RememberPlan())
        ended = fx.SwapEnded(command, report)
        return [*effects, ended, fx.Answer(transaction.ticket, report)]

    def cancel(self, asked: ev.CancelAsked, transaction: Transaction | None) -> list[fx.Effect]:
        """Withdraw the commands of a plan that have not fenced yet."""
        withdrawn = [w for w in self.waiting if w.command.plan_id == asked.plan_id]
        self.waiting = deque(w for w in self.waiting if w.command.plan_id != asked.plan_id)
        why = f"plan {asked.plan_id} was cancelled before its turn"
        effects: list[fx.Effect] = [fx.Answer(w.ticket, None, why) for w in withdrawn]
        if transaction is None or not transaction.carries_out(asked.plan_id):
            refused = None if withdrawn else f"no hotswap of plan {asked.plan_id} is to be done"
        elif transaction.cancel():
            refused = None
        else:
            refused = f"the hotswap of plan {asked.plan_id} has fenced: it ends by itself"
        return [*effects, fx.Answer(asked.ticket, None, refused)]

    def refuse_standbys(self, asked: ev.StandbysAsked) -> str | None:
        """Why these standbys are not taken over, or None: from now on none of older plans are."""
        unknown = sorted(set(asked.models) - self._models)
        if unknown:
            return f"there is no model {unknown[0]!r} in this host's registry"
        latest = max(self._standbys_plan_id, self.obeyed.latest_plan_id)
        if asked.plan_id < latest:
            return f"plan {asked.plan_id} is older than plan {latest}, already obeyed"
        self._standbys_plan_id = asked.plan_id
        return None

    def refuse_all(self, transaction: Transaction | None, why: str) -> list[fx.Effect]:
        """Answer everyone: nothing will be done any more."""
        tickets = [asked.ticket for asked in self.waiting]
        if transaction is not None and transaction.ticket is not None:
            tickets.append(transaction.ticket)
        self.waiting.clear()
        return [fx.Answer(ticket, None, why) for ticket in tickets]

    def _unchanged(self, asked: ev.SwapAsked) -> SwapReport:
        return SwapReport(
            host=self._host,
            plan_id=asked.command.plan_id,
            from_model=asked.command.model,
            to_model=asked.command.model,
            outcome="unchanged",
            from_tier="awake",
            total_s=0.0,
            phases_s={},
            handed_back=0,
        )

"""Plans in the traffic store: the table `plans`, for who asks with SQL what was decided when."""

import dagster as dg
from pydantic import PrivateAttr

from analytics.events import PlanMade
from analytics.writer import EventWriter
from orchestration.allocation.plan import Move, Plan
from orchestration.installation import Installation


class PlanEvents(dg.ConfigurableResource[None]):
    """Appends plans in the background; what the store did not take by the run's end is lost."""

    installation: dg.ResourceDependency[Installation]

    _writer: EventWriter = PrivateAttr()

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Start the writer."""
        store, token = self.installation.fleet.store, self.installation.state.token("store")
        self._writer = EventWriter(store.address, store.port, token, source="orchestration")

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Send what waits."""
        self._writer.close()

    def append(self, plan: Plan, run_id: str | None) -> None:
        """Record that `plan` was made."""
        self._writer.append(
            PlanMade(
                made_at=plan.made_at,
                plan_id=plan.plan_id,
                trigger=plan.trigger,
                run_id=run_id,
                moves=[_row(move) for move in plan.moves],
                replicas=plan.replicas,
                overrides=[override.words for override in plan.overrides],
            )
        )


def _row(move: Move) -> dict[str, str]:
    return {
        "host": move.host,
        "from_model": move.from_model or "",
        "to_model": move.to_model,
        "reason": move.reason,
    }

"""Evaluations in the traffic store: the table `evaluations`, for who asks why nothing moved.

Which ones are recorded is decided in `asking`; how long they are kept, by the store.
"""

from analytics.events import Evaluation
from analytics.writer import EventWriter
from orchestration.asking import Situation, Stay
from orchestration.installation import Installation

SEND_S = 2.0


def record_evaluation(
    installation: Installation,
    situation: Situation,
    stay: Stay,
    *,
    last_plan_id: int,
    now: float,
) -> None:
    """Send the record. What the store does not take within `SEND_S` is lost: a tick goes on."""
    plan, fleet = situation.plan, installation.fleet
    writer = EventWriter(
        fleet.store.address,
        fleet.store.port,
        installation.state.token("store"),
        source="orchestration",
    )
    writer.append(
        Evaluation(
            evaluated_at=now,
            plan_id=last_plan_id,
            because=stay.because,
            wanted=situation.fingerprint,
            verdicts=plan.verdicts,
            replicas=plan.replicas,
            overrides=[override.words for override in plan.overrides],
        )
    )
    writer.close(SEND_S)

"""Evaluations in the traffic store: the table `evaluations`, for who asks why nothing moved.

Which ones are recorded is decided in `asking`; how long they are kept, by the store.
"""

import threading

from analytics.events import Evaluation
from analytics.writer import EventWriter
from orchestration.asking import Situation, Stay
from orchestration.installation import Installation


def record_evaluation(
    installation: Installation,
    situation: Situation,
    stay: Stay,
    *,
    last_plan_id: int,
    now: float,
) -> threading.Thread:
    """Send the record, and return at once: a tick does not wait for the store.

    What the store does not take within moments is lost. The thread ends when that is known.
    """
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
    sending = threading.Thread(target=writer.close, name="record evaluation", daemon=True)
    sending.start()
    return sending

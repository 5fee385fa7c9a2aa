"""Everything of the control plane, put together for one fleet."""

import dagster as dg

from orchestration.allocation_job import allocation_job
from orchestration.allocation_sensor import allocation_sensor
from orchestration.allocation_turn import AllocationTurn
from orchestration.assets.batches import batches_assets, batches_job
from orchestration.assets.decision import decide, plan_io_manager
from orchestration.assets.profiles import profile_assets, profile_job
from orchestration.assets.serving import serving_assets
from orchestration.assets.weights import weights_assets, weights_keys
from orchestration.batch_sensor import batch_sensor
from orchestration.datasets.definitions import with_datasets
from orchestration.forgotten_batches import forgotten_batches
from orchestration.hotswaps import Hotswaps
from orchestration.installation import Installation
from orchestration.plan_events import PlanEvents


def build_definitions(installation: Installation) -> dg.Definitions:
    """The definitions for the fleet of `installation`."""
    fleet, state = installation.fleet, installation.state
    serving = serving_assets(fleet, weights_keys(fleet, state))
    allocation, batches = allocation_job(fleet), batches_job()
    core = dg.Definitions(
        assets=[
            *weights_assets(fleet, state),
            decide,
            serving,
            *profile_assets(fleet),
            *batches_assets(fleet),
        ],
        jobs=[allocation, batches, profile_job()],
        sensors=[allocation_sensor(allocation), batch_sensor(batches), forgotten_batches()],
        resources={
            "installation": installation,
            "hotswaps": Hotswaps(installation=installation),
            "plan_events": PlanEvents(installation=installation),
            "allocation_turn": AllocationTurn(installation=installation),
            "plan_io": plan_io_manager,
        },
        executor=dg.in_process_executor,
    )
    return with_datasets(core, fleet, state)

"""What Dagster loads: the definitions for the fleet that the environment names."""

import dagster as dg

from orchestration.assembly import build_definitions
from orchestration.installation import Installation, fleet_path
from serving.config import StateFolder


@dg.definitions
def defs() -> dg.Definitions:
    """The control plane of this installation; reads the fleet file."""
    installation = Installation(
        fleet_file=str(fleet_path()), state_folder=str(StateFolder.default().root)
    )
    return build_definitions(installation)

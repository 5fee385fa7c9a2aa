"""Removing the partitions of batches that the catalog has forgotten.

The gateway forgets batches when their time is over (`serving.batches.retention`). A partition
without a batch cannot be materialized any more; what its runs left in Dagster's event log stays.
"""

import dagster as dg

from orchestration.assets.batches import PARTITIONS, PARTITIONS_NAME
from orchestration.installation import Installation
from serving.batches import Catalog

LOOK_EVERY_S = 600
REMOVED_AT_ONCE = 500
"""Each is a statement of Dagster's; the others come in the next tick."""


def forgotten_batches() -> dg.SensorDefinition:
    """The sensor that removes them."""

    @dg.sensor(
        name="forgotten_batches",
        minimum_interval_seconds=LOOK_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Removes the partitions of batches of the Batch API that are kept no longer.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, installation: Installation
    ) -> dg.SensorResult | dg.SkipReason:
        # Partitions first: a batch has its record before it has a partition.
        partitions = context.instance.get_dynamic_partitions(PARTITIONS_NAME)
        catalog = Catalog(installation.state.batch_catalog)
        try:
            known = catalog.batch_ids()
        finally:
            catalog.close()
        gone = [partition for partition in partitions if partition not in known]
        if not gone:
            return dg.SkipReason("every partition has its batch")
        request = PARTITIONS.build_delete_request(gone[:REMOVED_AT_ONCE])
        return dg.SensorResult(dynamic_partitions_requests=[request])

    return sensor

"""The control plane's errors."""

from serving.errors import ConfigError, TurntableError


class BatchError(TurntableError):
    """A batch partition cannot be done now."""


class SourceError(BatchError):
    """A dataset's source is not there, or its rows cannot be told apart."""


class RowsLeft(BatchError):
    """A run of a dataset ended before all of its rows were done."""


class PartitionBusy(BatchError):
    """Another run is doing this partition."""


class ProfileError(TurntableError):
    """A model's batch sizes cannot be measured now."""


class Disturbed(ProfileError):
    """Other work was on the engine while a batch size was measured."""


class OverrideRefused(ConfigError):
    """An operator's override that the fleet cannot follow."""


class OverridesUnreadable(TurntableError):
    """The file of overrides is damaged, or of another version of Turntable."""


class AllocationUnderWay(TurntableError):
    """Another allocation run did not end in time."""


class BatchNotReady(BatchError):
    """A batch of the Batch API cannot be run yet."""


class ReloadRefused(TurntableError):
    """Definitions cannot be built of the files as they are; the old ones stay."""

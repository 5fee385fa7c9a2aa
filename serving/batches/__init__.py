"""Files and batches: their records, what may happen to them, and where they are kept.

A library that the gateway's API and the runs of the control plane both use, over one
folder. It knows no HTTP, no Dagster and no model. See the README.
"""

from serving.batches.catalog import Catalog
from serving.batches.errors import (
    BatchesError,
    FileInUse,
    IllegalTransition,
    KeyReused,
    NoSuchRecord,
    NotAnInput,
)
from serving.batches.files import Draft, FileStore
from serving.batches.lifecycle import (
    BatchEvent,
    CancelAsked,
    Cancelled,
    Completed,
    Expired,
    Failed,
    Finalizing,
    Progress,
    Refused,
    Validated,
    after,
)
from serving.batches.lines import INDEX_NAME, IndexWriter, InputLine, InputLines
from serving.batches.paging import Order, Page
from serving.batches.records import (
    TERMINAL,
    BatchError,
    BatchRecord,
    BatchStatus,
    FileRecord,
    InputSize,
    Purpose,
    Usage,
    new_batch_id,
    new_file_id,
    result_file_id,
)
from serving.batches.sweep import Sweep, Swept
from serving.batches.validation import BodyCheck, Report, Rules, validate
from serving.batches.window import window_s

__all__ = [
    "INDEX_NAME",
    "TERMINAL",
    "BatchError",
    "BatchEvent",
    "BatchRecord",
    "BatchStatus",
    "BatchesError",
    "BodyCheck",
    "CancelAsked",
    "Cancelled",
    "Catalog",
    "Completed",
    "Draft",
    "Expired",
    "Failed",
    "FileInUse",
    "FileRecord",
    "FileStore",
    "Finalizing",
    "IllegalTransition",
    "IndexWriter",
    "InputLine",
    "InputLines",
    "InputSize",
    "KeyReused",
    "NoSuchRecord",
    "NotAnInput",
    "Order",
    "Page",
    "Progress",
    "Purpose",
    "Refused",
    "Report",
    "Rules",
    "Sweep",
    "Swept",
    "Usage",
    "Validated",
    "after",
    "new_batch_id",
    "new_file_id",
    "result_file_id",
    "validate",
    "window_s",
]

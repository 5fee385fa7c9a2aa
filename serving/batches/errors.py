"""What can go wrong with records of files and batches."""

from serving.errors import TurntableError


class BatchesError(TurntableError):
    """Base of the errors of files and batches."""


class NoSuchRecord(BatchesError):
    """No file or batch has this id, or it is not the asker's."""

    def __init__(self, kind: str, record_id: str) -> None:
        super().__init__(
            f"no {kind} has the id {record_id!r}",
            where="catalog of batches",
            fix="List what there is; files that expired or were deleted are gone.",
        )
        self.record_id = record_id


class IllegalTransition(BatchesError):
    """A batch cannot do this from where it is."""

    def __init__(self, batch_id: str, status: str, event: str) -> None:
        super().__init__(
            f"{event} cannot happen to a batch that is {status}",
            where=f"batch {batch_id}",
            fix="Read the batch again and act on the status it has.",
        )
        self.batch_id, self.status, self.event = batch_id, status, event


class KeyReused(BatchesError):
    """An idempotency key came again with another request."""

    def __init__(self, key: str, batch_id: str) -> None:
        super().__init__(
            f"the idempotency key {key!r} was used for another request, which made {batch_id}",
            where="catalog of batches",
            fix="Use a new key for a new batch.",
        )
        self.batch_id = batch_id


class NotAnInput(BatchesError):
    """A file has another purpose than being the input of a batch."""

    def __init__(self, file_id: str, purpose: str) -> None:
        super().__init__(
            f"the purpose of {file_id} is {purpose}; an input's is batch",
            where="catalog of batches",
            fix="Upload the input with the purpose batch.",
        )
        self.file_id, self.purpose = file_id, purpose


class FileInUse(BatchesError):
    """A file cannot go while a batch reads it."""

    def __init__(self, file_id: str, batch_id: str) -> None:
        super().__init__(
            f"the file {file_id} is the input of {batch_id}, which has not ended",
            where="catalog of batches",
            fix="Cancel the batch or wait for its end.",
        )
        self.file_id, self.batch_id = file_id, batch_id


class CatalogOutdated(BatchesError):
    """The catalog was written by another version of Turntable."""

    def __init__(self, path: str, found: int, known: int) -> None:
        super().__init__(
            f"its schema is {found}, this version knows {known}",
            where=path,
            fix="Run the version that wrote it, or move the file away.",
        )

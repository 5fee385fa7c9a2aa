"""A file handed to the Batch API with the `openai` client, and watched until it has ended.

Every call is tried again while the gateway is away: some benchmarks kill it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import openai
from openai.types import Batch

from benchmarks.batch.lines import Line
from benchmarks.instance import Instance
from benchmarks.servers import T
from benchmarks.setting import BenchmarkUnable

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_POLL_S = 0.25
_CALL_S = 120.0
_AWAY = (openai.APIConnectionError, openai.InternalServerError)


@dataclass(frozen=True)
class Submitted:
    """A batch that was created. Times are seconds since the epoch."""

    batch_id: str
    began_at: float
    """Just before the file was sent."""
    created_at: float
    """Just before the batch was created of it."""


class BatchClient:
    """The Batch API of an instance, as an unchanged `openai` client has it."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._openai = openai.OpenAI(
            base_url=f"{instance.gateway}/v1",
            api_key=instance.key,
            max_retries=0,
            timeout=_CALL_S,
        )

    def submit(self, lines: Path, *, key: str) -> Submitted:
        """Send the file and create a batch of it; `key` makes a repeated creation the same one."""
        began_at = time.time()
        file = self._patiently(lambda: self._upload(lines), f"{lines.name} is sent")
        endpoint = _endpoint(lines)
        created_at = time.time()
        batch = self._patiently(
            lambda: self._openai.batches.create(
                input_file_id=file,
                endpoint=endpoint,  # type: ignore[arg-type]  # read from the file
                completion_window="24h",
                extra_headers={"Idempotency-Key": key},
            ),
            f"a batch of {lines.name} is created",
        )
        return Submitted(batch.id, began_at, created_at)

    def wait_validated(self, submitted: Submitted) -> float:
        """When the file was seen to be validated. Raises BenchmarkUnable if it is refused."""

        def validated() -> float | None:
            batch = self._openai.batches.retrieve(submitted.batch_id)
            if batch.status == "failed":
                raise _failed(batch)
            return None if batch.status == "validating" else time.time()

        return self._patiently(validated, f"{submitted.batch_id} is validated")

    def wait_completed(self, submitted: Submitted, limit_s: float) -> float:
        """When the batch was seen to be completed. Raises BenchmarkUnable if it ends otherwise."""
        batch = self.wait_ended(submitted, limit_s)
        ended_at = time.time()
        if batch.status != "completed":
            raise _failed(batch)
        return ended_at

    def wait_ended(self, submitted: Submitted, limit_s: float) -> Batch:
        """The batch once it has ended, however."""

        def ended() -> Batch | None:
            batch = self._retrieved_slowly(submitted)
            return batch if batch.status in ENDED else None

        return self._patiently(ended, f"{submitted.batch_id} has ended", limit_s)

    def seen(self, submitted: Submitted) -> Batch | None:
        """The batch as it is now; None while the gateway is away."""
        try:
            return self._openai.batches.retrieve(submitted.batch_id)
        except _AWAY:
            return None

    def cancel(self, submitted: Submitted, limit_s: float) -> None:
        """Cancel the batch and wait until that is done."""
        self._openai.batches.cancel(submitted.batch_id)
        self.wait_ended(submitted, limit_s)

    def result_lines(self, submitted: Submitted) -> list[bytes]:
        """The lines of its output file and of its error file."""
        batch = self._openai.batches.retrieve(submitted.batch_id)
        files = [name for name in (batch.output_file_id, batch.error_file_id) if name is not None]
        contents = [self._openai.files.content(name).read() for name in files]
        return [line for content in contents for line in content.splitlines()]

    def _retrieved_slowly(self, submitted: Submitted) -> Batch:
        """After a pause: the gateway that answers is among what is measured."""
        time.sleep(_POLL_S)
        return self._openai.batches.retrieve(submitted.batch_id)

    def _upload(self, lines: Path) -> str:
        with lines.open("rb") as file:
            return self._openai.files.create(file=file, purpose="batch").id

    def _patiently(self, call: Callable[[], T | None], what: str, limit_s: float = _CALL_S) -> T:
        def attempt() -> T | None:
            try:
                return call()
            except _AWAY:
                return None

        return self._instance.until(attempt, what, limit_s=limit_s)


def _endpoint(lines: Path) -> str:
    """That of the first line; a file has one."""
    with lines.open("rb") as file:
        return str(msgspec.json.decode(file.readline(), type=Line).url)


def _failed(batch: Batch) -> BenchmarkUnable:
    problems = batch.errors.data if batch.errors is not None and batch.errors.data else []
    return BenchmarkUnable(
        f"{batch.id} ended as {batch.status}: {[problem.message for problem in problems][:3]}",
        where="the Batch API",
        fix="Look at the gateway's log and at the run's page.",
    )

"""Batches that run while their run worker, the gateway and the hosts are killed.

The same file runs once undisturbed, and then again and again until all kills are done; every
result is compared row by row with the undisturbed one.
"""

import random
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.batch.comparison import Answered, by_id, changes, compare, read_rows
from benchmarks.batch.kill_plan import kill_plan
from benchmarks.batch.kills import carry_out
from benchmarks.batch.samples import SurvivalSamples
from benchmarks.batch.submission import ENDED, BatchClient, Submitted
from benchmarks.instance import Instance

KILLS_EACH = 10
_SEED = 6
_PAUSE_S = (0.5, 6.0)
_LOOK_S = 1.0
_RUN_LIMIT_S = 900.0
_RECORDED_LIMIT_S = 60.0
_SETTLED_S = 2.0
_AGAIN = """
SELECT (SELECT count(*) FROM request_arrivals
        WHERE request_class = 'batch' AND arrived_at >= $since) AS arrived,
       count(*) FILTER (outcome <> 'completed' AND output_tokens = 0) AS fruitless,
       count(*) FILTER (recomputed_tokens > 0) AS resumed
FROM requests WHERE request_class = 'batch' AND arrived_at >= $since
"""


def survive(instance: Instance, lines: Path, rows: int) -> SurvivalSamples:
    """Run it all. Raises BenchmarkUnable if there is no undisturbed result to compare with.

    A batch that kills bring to another end than completion has lost the rows that it is short of.
    """
    client, found = BatchClient(instance), SurvivalSamples()
    first = client.submit(lines, key="undisturbed")
    client.wait_completed(first, _RUN_LIMIT_S)
    whole = read_rows(client.result_lines(first))
    instance.say(f"{len(whole)} of {rows} rows undisturbed")
    since, choice = time.time(), random.Random(_SEED)  # noqa: S311 - reproducible, no secret
    flow = _Flow(client, lines, rows, found)
    for planned in kill_plan(_SEED, KILLS_EACH, _PAUSE_S):
        kill = carry_out(instance, planned, choice, flow.keep_going)
        found.kills.append(kill)
        instance.say(f"{kill.victim} killed with {kill.in_flight} requests in flight")
    undisturbed = by_id(whole)
    for submitted in flow.submitted:
        result = _result(client, submitted)
        found.differences += compare(undisturbed, result)
        for change in changes(undisturbed, result):
            instance.say(f"{submitted.batch_id}: {change}")
    found.batches = len(flow.submitted)
    found.rows = found.batches * rows
    _count_again(instance, since, found)
    return found


@dataclass
class _Flow:
    """The same file as one batch after the other: there is always one that runs."""

    client: BatchClient
    lines: Path
    rows: int
    found: SurvivalSamples
    submitted: list[Submitted] = field(default_factory=list)
    _looked_at: float = 0.0

    def keep_going(self) -> None:
        """Submit the next batch when the last one has ended. Looks once a second."""
        if time.monotonic() - self._looked_at < _LOOK_S:
            return
        self._looked_at = time.monotonic()
        if not self.submitted or self._last_has_ended():
            key = f"killed-{len(self.submitted)}"
            self.submitted.append(self.client.submit(self.lines, key=key))

    def _last_has_ended(self) -> bool:
        batch = self.client.seen(self.submitted[-1])
        if batch is None:
            return False
        before = (len(self.submitted) - 1) * self.rows
        done = batch.request_counts.completed if batch.request_counts is not None else 0
        self.found.progress.append((self._looked_at, before + done))
        return batch.status in ENDED


def _result(client: BatchClient, submitted: Submitted) -> list[Answered]:
    client.wait_ended(submitted, _RUN_LIMIT_S)
    return read_rows(client.result_lines(submitted))


def _count_again(instance: Instance, since: float, found: SurvivalSamples) -> None:
    """From the store, once nothing more comes into it."""
    counted: list[tuple[float, dict[str, int]]] = []
    with instance.reader() as reader:

        def settled() -> dict[str, int] | None:
            (row,) = reader.query(_AGAIN, {"since": since}).to_dicts()
            now = time.monotonic()
            if not counted or counted[-1][1] != row:
                counted.append((now, row))
            since_change_s = now - counted[-1][0]
            return row if row["arrived"] and since_change_s >= _SETTLED_S else None

        row = instance.until(settled, "all requests in the store", limit_s=_RECORDED_LIMIT_S)
    found.asked_again = row["arrived"] - row["fruitless"] - found.rows
    found.resumed = row["resumed"]

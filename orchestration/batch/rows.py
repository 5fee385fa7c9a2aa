"""The engine of rows: every ask that has no outcome yet is asked, and kept when it is answered.

Shards run side by side in one process, each over its own journal, and share the window of their
model. It ends when every ask has an outcome, or when it is told to stop: then what is open is
given up (the gateway takes it off the engines), and what was kept is kept.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

from orchestration.batch.asking import Asker, Terms, asker
from orchestration.batch.asks import Ask, Shard
from orchestration.batch.journal import Journal
from orchestration.batch.offers import Offer
from orchestration.batch.ordering import by_prefix
from orchestration.batch.persistence import persist
from orchestration.batch.progress import Figures, Progress
from orchestration.batch.urgency import due_in_s, needed_places
from orchestration.batch.window import Window, entitled, places, share
from serving.config import ModelSettings

SYNC_EVERY_S = 1.0
LOOK_EVERY_S = 2.0


class RowsEngine:
    """Asks for the rows of one input."""

    def __init__(
        self,
        shards: Sequence[Shard],
        journals: Mapping[str, Journal],
        models: Mapping[str, ModelSettings],
        *,
        window: int = 0,
        retry_errors: bool = False,
    ) -> None:
        """`journals`: open ones, by the shards' names.

        `window`: open requests of one model; 0: as many as follow from the slots offered.
        `retry_errors`: ask anew what ended with an error in an earlier run.
        """
        self._shards, self._journals, self._models = shards, journals, models
        self._fixed = window
        self._windows = {
            shard.model: Window(window or places(0, models[shard.model])) for shard in shards
        }
        self._missing = {
            shard.name: missing_keys(shard, journals[shard.name], retry_errors=retry_errors)
            for shard in shards
        }
        self.progress = Progress(sum(len(shard.keys) for shard in shards), time.monotonic())
        for shard in shards:
            self._count_earlier(shard, retry_errors=retry_errors)

    @property
    def missing(self) -> int:
        """How many rows this run asks for."""
        return sum(len(keys) for keys in self._missing.values())

    def figures(self) -> Figures:
        """How far it is now."""
        return self.progress.figures(
            time.monotonic(),
            open_=sum(window.open for window in self._windows.values()),
            window=self._places(),
        )

    async def run(self, terms: Terms, stop: asyncio.Event) -> bool:
        """Ask until every row has an outcome, or `stop` is set; whether the former."""
        if not self.missing:
            return True
        async with asker(terms) as asking:
            work = asyncio.create_task(self._all_shards(asking))
            beside = [
                asyncio.create_task(stop.wait()),
                asyncio.create_task(self._keep_time()),
                asyncio.create_task(self._follow_offers(asking, terms.due_at)),
            ]
            try:
                await asyncio.wait([work, *beside], return_when=asyncio.FIRST_COMPLETED)
                ended = work.done()
            finally:
                for task in (work, *beside):
                    task.cancel()
                results = await asyncio.gather(work, *beside, return_exceptions=True)
                self.progress.ended(time.monotonic())
        _raise_failure(results)
        return ended

    def _places(self) -> int:
        return sum(window.size for window in self._windows.values())

    def _count_earlier(self, shard: Shard, *, retry_errors: bool) -> None:
        done = len(shard.keys) - len(self._missing[shard.name])
        journal = self._journals[shard.name]
        self.progress.found(done, 0 if retry_errors else journal.failed, journal.tokens)

    async def _all_shards(self, asking: Asker) -> None:
        async with asyncio.TaskGroup() as group:
            for shard in self._shards:
                group.create_task(self._shard(shard, asking))

    async def _shard(self, shard: Shard, asking: Asker) -> None:
        window, journal = self._windows[shard.model], self._journals[shard.name]
        async with asyncio.TaskGroup() as group:
            for ask in by_prefix(shard.read(self._missing[shard.name])):
                await window.enter()
                group.create_task(self._row(ask, asking, journal, window))

    async def _row(self, ask: Ask, asking: Asker, journal: Journal, window: Window) -> None:
        """One row until its outcome is kept."""
        try:
            outcome = await persist(
                lambda: asking.ask(ask, rows_left=self.progress.left, window=self._places()),
                lambda why: self.progress.refused(why, time.monotonic()),
            )
            if journal.add(outcome):
                self.progress.came(outcome, time.monotonic())
        finally:
            window.leave()

    async def _keep_time(self) -> None:
        """What is due once a second: a point of the curve, rows on the disk."""
        while True:
            self.progress.tick(time.monotonic())
            await asyncio.sleep(SYNC_EVERY_S)
            for journal in self._journals.values():
                await asyncio.to_thread(journal.sync)

    async def _follow_offers(self, asking: Asker, due_at: float | None) -> None:
        """Have windows follow what the fleet offers, and what is due."""
        while True:
            offers = await asking.offers(self._windows)
            self.progress.offered(offers)
            for name, offer in offers.items():
                if not offer.trouble and not self._fixed:
                    self._resize(name, offer, due_at)
            await asyncio.sleep(LOOK_EVERY_S)

    def _resize(self, model: str, offer: Offer, due_at: float | None) -> None:
        window, total = self._windows[model], places(offer.slots, self._models[model])
        due_per_s, row_s = self._due_per_s(window, due_at), self.progress.row_s(time.monotonic())
        part = entitled(
            total,
            works=offer.works,
            needs=needed_places(due_per_s, row_s),
            all_needs=needed_places(max(due_per_s, offer.due_per_s), row_s),
        )
        window.resize(
            share(total, part, open_=window.open, in_flight=offer.in_flight, works=offer.works)
        )

    def _due_per_s(self, window: Window, due_at: float | None) -> float:
        """How many rows of the window's must be answered a second for all to be in time."""
        if due_at is None:
            return 0.0
        left, left_s = self.progress.left, due_at - time.time()
        return min(left, window.size) / due_in_s(left_s, left, self._places())


def missing_keys(shard: Shard, journal: Journal, *, retry_errors: bool) -> list[int]:
    """Of the asks of a shard that have no outcome, or an error that is to be asked anew."""
    again = journal.failed_keys() if retry_errors else frozenset()
    return [key for key in shard.keys if key not in journal or key in again]


def _raise_failure(results: Sequence[object]) -> None:
    """Raise what went wrong, if not only that the work was told to stop."""
    for result in results:
        failure = result
        while isinstance(failure, BaseExceptionGroup):
            failure = failure.exceptions[0]
        if isinstance(failure, BaseException) and not isinstance(failure, asyncio.CancelledError):
            raise failure

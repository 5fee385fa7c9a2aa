"""Partial generations of batch lines, kept so that they go on after the gateway's death.

The one owner of them: in memory, and once a second in the journal, all in one write, off the
request path. A line is known by its client's key, and goes on only if it asks for the same. Who is
done is forgotten; who just left (its client or this gateway went away, no replica came) is kept for
`KEPT_S`. When and how tokens are resumed is `serving.gateway.resume`.
"""

import asyncio
import time
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import structlog

from serving.gateway.lines.journal import Ended, Grown, Journal, Record, Suspected
from serving.gateway.lines.suspicion import INNOCENT, Suspicion
from serving.gateway.merging import joined
from serving.wire import Tokens

SYNC_EVERY_S = 1.0
KEPT_S = 3600.0
"""How long what nobody asks for any more is kept."""
POISON_KEPT_S = 25 * 3600.0
"""Longer than any batch may take."""
MOST_BYTES = 64 * 1024 * 1024
"""Of all partials; beyond it the oldest are forgotten, those first that nobody is at."""
_SLACK_BYTES = 1024 * 1024
"""So much of the journal may be of no use before it is written anew."""
_BYTES_PER_TOKEN, _BYTES_PER_LOGPROB, _RECORD_BYTES = 6, 16, 128

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """Under what a generation is kept: its name, and what it asks for."""

    name: str
    fingerprint: bytes
    """Of everything that its tokens depend on: model, prompt, sampling."""

    @property
    def work(self) -> str:
        """The batch that it is of: its client's key up to the last slash."""
        return self.name.rpartition("/")[0]


@dataclass(eq=False)
class Partial:
    """What is kept of one generation."""

    checkpoint: Checkpoint
    tokens: Tokens | None = None
    suspicion: Suspicion = INNOCENT
    left_at: float | None = None
    """Since when (monotonic) nobody is at it."""
    size_bytes: int = _RECORD_BYTES
    in_journal: bool = False
    unwritten: list[Tokens] = field(default_factory=list)
    suspicion_unwritten: bool = False

    def all_tokens(self) -> Tokens | None:
        """Everything it has."""
        portions = [*([] if self.tokens is None else [self.tokens]), *self.unwritten]
        return joined(portions) if portions else None

    def changes(self) -> Iterator[Record]:
        """What the journal does not have; from now on it counts as written."""
        name, fingerprint = self.checkpoint.name, self.checkpoint.fingerprint
        if self.unwritten:
            fresh = joined(self.unwritten)
            self.tokens = fresh if self.tokens is None else joined([self.tokens, fresh])
            self.unwritten = []
            yield Grown(name, fingerprint, fresh)
        if self.suspicion_unwritten:
            self.suspicion_unwritten = False
            yield Suspected(name, fingerprint, self.suspicion)
        self.in_journal = True

    def whole(self) -> Iterator[Record]:
        """All of it, as if nothing had been written."""
        self.unwritten = [] if (tokens := self.all_tokens()) is None else [tokens]
        self.tokens, self.suspicion_unwritten = None, self.suspicion != INNOCENT
        return self.changes()

    def expired(self, now: float) -> bool:
        """Whether nobody has asked for it for long."""
        kept_s = POISON_KEPT_S if self.suspicion.is_poison else KEPT_S
        return self.left_at is not None and now - self.left_at > kept_s


class Keeping:
    """One generation's hold of its partial, from `Partials.keep` until it is left.

    A later generation of the same name takes the partial over; then nothing here has any effect.
    """

    def __init__(self, partials: "Partials", partial: Partial) -> None:
        self._partials, self._partial = partials, partial
        self.restored = partial.all_tokens()
        """What an earlier generation made; None: nothing."""
        self.suspicion = partial.suspicion
        """What was held against it before."""

    def grew(self, tokens: Tokens) -> None:
        """It has these tokens more."""
        if self._is_mine:
            self._partials.grew(self._partial, tokens)

    def suspect(self, suspicion: Suspicion) -> None:
        """Remember what is held against it."""
        if self._is_mine:
            self._partials.suspected(self._partial, suspicion)

    def leave(self, *, finished: bool) -> None:
        """The generation is over, complete or not."""
        if self._is_mine:
            self._partials.leave(self._partial, finished=finished)

    @property
    def _is_mine(self) -> bool:
        return self._partials.keeper(self._partial) is self


class Partials:
    """All partial generations of this gateway. Without a journal they are in memory alone."""

    def __init__(self, journal: Journal | None = None, *, most_bytes: int = MOST_BYTES) -> None:
        self._journal, self._most_bytes = journal, most_bytes
        self._partials: dict[str, Partial] = {}
        self._keepers: dict[Partial, Keeping] = {}
        self._changed: dict[Partial, None] = {}
        self._ended: dict[str, None] = {}
        self._stale = True
        """The journal is not what it should be, and is to be written anew."""
        if journal is not None:
            self._take_over(journal.read())

    @classmethod
    def in_folder(cls, folder: Path) -> "Partials":
        """Those of a folder, if no other process has it."""
        try:
            return cls(Journal(folder))
        except BlockingIOError:
            log.warning("partials_taken", folder=str(folder), fix="Give each gateway its own port.")
            return cls()

    def __len__(self) -> int:
        return len(self._partials)

    def keep(self, checkpoint: Checkpoint) -> Keeping:
        """Hold the partial of a generation that begins, or goes on."""
        partial = self._partials.get(checkpoint.name)
        if partial is not None and partial.checkpoint != checkpoint:
            self._forget(partial)
            partial = None
        if partial is None:
            partial = self._partials[checkpoint.name] = Partial(checkpoint)
        partial.left_at = None
        keeping = self._keepers[partial] = Keeping(self, partial)
        return keeping

    def keeper(self, partial: Partial) -> Keeping | None:
        """Who has hold of it."""
        return self._keepers.get(partial)

    def grew(self, partial: Partial, tokens: Tokens) -> None:
        """New tokens; written with the next sync."""
        partial.unwritten.append(tokens)
        partial.size_bytes += _size_bytes(tokens)
        self._changed[partial] = None

    def suspected(self, partial: Partial, suspicion: Suspicion) -> None:
        """Something is held against it, or no longer."""
        partial.suspicion, partial.suspicion_unwritten = suspicion, True
        self._changed[partial] = None

    def leave(self, partial: Partial, *, finished: bool) -> None:
        """Nobody is at it any more. What engines died of is remembered."""
        del self._keepers[partial]
        if finished and not partial.suspicion.is_poison:
            self._forget(partial)
        else:
            partial.left_at = time.monotonic()

    async def run(self) -> None:
        """Sync until cancelled. May be run again."""
        try:
            while True:
                await _to_its_end(asyncio.to_thread(self._write, *self._due()))
                await asyncio.sleep(SYNC_EVERY_S)
        except Exception:
            self._stale = True  # what was due may not have been written
            raise

    def close(self) -> None:
        """Sync once more, when nothing of it runs any more."""
        self._write(*self._due())
        if self._journal is not None:
            self._journal.close()

    def _due(self) -> tuple[bool, list[Record]]:
        """What is to be written, and whether in place of everything."""
        self._make_room(time.monotonic())
        useful = sum(partial.size_bytes for partial in self._partials.values())
        wasted = (self._journal.size_bytes if self._journal else 0) - 2 * useful
        anew, self._stale = self._stale or wasted > _SLACK_BYTES, False
        changed, self._changed = self._changed, {}
        ended, self._ended = self._ended, {}
        if anew:
            return True, list(chain.from_iterable(p.whole() for p in self._partials.values()))
        records: list[Record] = [Ended(name) for name in ended]
        records += chain.from_iterable(partial.changes() for partial in changed)
        return False, records

    def _write(self, anew: bool, records: list[Record]) -> None:
        if self._journal is None or not (anew or records):
            return
        try:
            if anew:
                self._journal.rewrite(records)
            else:
                self._journal.append(records)
        except OSError as error:
            # Generations go on without; the next sync writes everything that there is then.
            log.error("partials_not_written", error=str(error), records=len(records))
            self._stale = True

    def _make_room(self, now: float) -> None:
        for partial in [p for p in self._partials.values() if p.expired(now)]:
            self._forget(partial)
        excess = sum(p.size_bytes for p in self._partials.values()) - self._most_bytes
        if excess <= 0:
            return
        unattended_first = sorted(self._partials.values(), key=lambda p: p.left_at is None)
        for partial in unattended_first:
            if excess <= 0:
                return
            excess -= partial.size_bytes
            self._forget(partial)

    def _forget(self, partial: Partial) -> None:
        self._keepers.pop(partial, None)
        self._changed.pop(partial, None)
        del self._partials[partial.checkpoint.name]
        if partial.in_journal:
            self._ended[partial.checkpoint.name] = None

    def _take_over(self, records: Iterable[Record]) -> None:
        for record in records:
            if isinstance(record, Ended):
                self._partials.pop(record.name, None)
                continue
            checkpoint = Checkpoint(record.name, record.fingerprint)
            partial = self._partials.get(record.name)
            if partial is None or partial.checkpoint != checkpoint:
                partial = self._partials[record.name] = Partial(checkpoint)
            partial.left_at = time.monotonic()
            if isinstance(record, Suspected):
                partial.suspicion = record.suspicion
            else:
                partial.unwritten.append(record.tokens)
                partial.size_bytes += _size_bytes(record.tokens)


async def _to_its_end(writing: Coroutine[Any, Any, None]) -> None:
    """Two must not write at once, so a write under way is waited for even when cancelled."""
    task = asyncio.create_task(writing)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def _size_bytes(tokens: Tokens) -> int:
    """About what it takes in the journal."""
    logprobs = sum(len(entry.token_ids) for entry in tokens.logprobs or ())
    logprobs += sum(len(entry.token_ids) for entry in tokens.prompt_logprobs or () if entry)
    return _BYTES_PER_TOKEN * len(tokens.token_ids) + _BYTES_PER_LOGPROB * logprobs

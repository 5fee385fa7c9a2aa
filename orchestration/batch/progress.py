"""How far a run is: counts, rates, what it waits for, when it will be done. No clock of its own."""

from collections.abc import Mapping

import msgspec

from orchestration.batch.asks import Outcome, Tokens
from orchestration.batch.offers import Offer

RATE_OVER_S = 60.0
MEAN_OVER_ROWS = 64
"""How many rows back the mean time of a row goes."""
MOST_POINTS = 240
"""Of the curve; beyond it every other one is dropped, so a long run takes no more memory."""


class Point(msgspec.Struct, frozen=True):
    """A point of a run's curve."""

    seconds: float
    rows: int
    completion_tokens: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run is at one moment."""

    rows: int
    """All there are."""
    done: int
    failed: int
    """Of those done."""
    done_before: int
    """By earlier runs."""
    tokens: Tokens
    """Of all rows done."""
    open: int
    window: int
    seconds: float
    """Since this run began."""
    rows_per_s: float
    tokens_per_s: float
    """Output, over the last minute."""
    left_s: float | None
    """Until all rows are done, at this rate; None: no rate yet."""
    waits_for: str
    """Empty while rows are answered."""


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """How a run went, from its begin to its end."""

    figures: Figures
    curve: tuple[Point, ...]

    def then(self, later: "Course") -> "Course":
        """Two goes at the same rows, one after the other, told as one."""
        spent_s = self.figures.seconds
        whole = msgspec.structs.replace(
            later.figures,
            done_before=self.figures.done_before,
            seconds=spent_s + later.figures.seconds,
        )
        moved = [msgspec.structs.replace(p, seconds=spent_s + p.seconds) for p in later.curve]
        return Course(figures=whole, curve=(*self.curve, *moved))


class Progress:
    """The one owner of a run's counts."""

    def __init__(self, rows: int, now: float) -> None:
        self._rows, self._began = rows, now
        self._done = self._failed = self._done_before = 0
        self._tokens = Tokens()
        self._curve: list[Point] = []
        self._recent: list[Point] = []
        self._every_s = 1.0
        self._answered = 0
        self._row_s = 0.0
        self._refused: str = ""
        self._refused_at = self._answered_at = now
        self._offers: Mapping[str, Offer] = {}

    @property
    def left(self) -> int:
        """Rows without an outcome."""
        return self._rows - self._done

    def found(self, done: int, failed: int, tokens: Tokens) -> None:
        """Earlier runs had done so much."""
        self._done += done
        self._done_before += done
        self._failed += failed
        self._tokens += tokens

    def came(self, outcome: Outcome, now: float) -> None:
        """A row is done."""
        self._done += 1
        self._failed += not outcome.ok
        self._tokens += outcome.tokens
        self._answered_at = now
        self._answered += 1
        self._row_s += (outcome.seconds - self._row_s) / min(self._answered, MEAN_OVER_ROWS)

    def row_s(self, now: float) -> float:
        """How long a row is open until its answer; as long as there is none, since the begin."""
        return self._row_s if self._answered else now - self._began

    def refused(self, why: str, now: float) -> None:
        """A request was not taken."""
        self._refused, self._refused_at = why, now

    def offered(self, offers: Mapping[str, Offer]) -> None:
        """What the fleet offers now."""
        self._offers = offers

    def tick(self, now: float) -> None:
        """Take a point of the curve, about once a second."""
        point = Point(now - self._began, self._done, self._tokens.completion)
        self._recent.append(point)
        while point.seconds - self._recent[0].seconds > RATE_OVER_S and len(self._recent) > 2:
            self._recent.pop(0)
        if not self._curve or point.seconds - self._curve[-1].seconds >= self._every_s:
            self._curve.append(point)
        if len(self._curve) > MOST_POINTS:
            self._curve, self._every_s = self._curve[::2], self._every_s * 2

    def ended(self, now: float) -> None:
        """The curve's last point: a run shorter than a second has a curve too."""
        self._curve.append(Point(now - self._began, self._done, self._tokens.completion))

    @property
    def curve(self) -> tuple[Point, ...]:
        """The run from its begin until the last tick."""
        return tuple(self._curve)

    def figures(self, now: float, *, open_: int = 0, window: int = 0) -> Figures:
        """How far it is."""
        rows_per_s, tokens_per_s = self._rates(now)
        left = self.left
        return Figures(
            rows=self._rows,
            done=self._done,
            failed=self._failed,
            done_before=self._done_before,
            tokens=self._tokens,
            open=open_,
            window=window,
            seconds=now - self._began,
            rows_per_s=rows_per_s,
            tokens_per_s=tokens_per_s,
            left_s=0.0 if not left else left / rows_per_s if rows_per_s else None,
            waits_for=self._waits_for(left),
        )

    def _rates(self, now: float) -> tuple[float, float]:
        if not self._recent:
            return 0.0, 0.0
        first = self._recent[0]
        span_s = now - self._began - first.seconds
        if span_s <= 0:
            return 0.0, 0.0
        rows = self._done - first.rows
        return rows / span_s, (self._tokens.completion - first.completion_tokens) / span_s

    def _waits_for(self, left: int) -> str:
        if not left:
            return ""
        for model, offer in self._offers.items():
            if offer.trouble:
                return offer.trouble
            if not offer.replicas:
                return f"a replica of {model}: no engine host serves it now"
        return self._refused if self._refused_at > self._answered_at else ""

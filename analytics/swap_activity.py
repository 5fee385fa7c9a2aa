"""What hotswaps a fleet made lately: planned ones, and switches within a host's grant, apart."""

import msgspec

from analytics.traffic import TrafficReader


class SwapActivity(msgspec.Struct, frozen=True, kw_only=True):
    """The hotswaps of one kind that ended on a host within a window."""

    host: str
    kind: str
    """`planned` or `switch`."""
    committed: int
    failed: int
    took_p50_s: float | None
    waited_p50_s: float | None
    """How long the first request had waited when a switch was decided; None for planned ones."""
    handed_back: int
    latest_model: str
    """The model that the latest of them was to wake."""
    latest_at: float


def swap_activity(reader: TrafficReader, window_s: float) -> list[SwapActivity]:
    """A row for each host and kind that had any in the last `window_s` seconds.

    Raises StoreUnreachable or StoreRefused.
    """
    rows = reader.query("FROM swap_activity($window_s)", {"window_s": float(window_s)})
    return [msgspec.convert(row, SwapActivity) for row in rows.iter_rows(named=True)]

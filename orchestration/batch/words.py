"""How far a batch is, in words for a log line."""

from orchestration.batch.progress import Figures


def told(figures: Figures, unit: str = "lines") -> str:
    """One line: rows, rates, the end, and what is waited for. `unit`: what rows are called."""
    parts = [f"{figures.done} of {figures.rows} {unit} done"]
    if figures.failed:
        parts.append(f"{figures.failed} with an error")
    if figures.rows_per_s:
        parts.append(f"{figures.rows_per_s:.2g} {unit}/s, {figures.tokens_per_s:.0f} tokens/s")
    if figures.left_s:
        parts.append(f"about {duration(figures.left_s)} left")
    parts.append(f"{figures.open} requests open of {figures.window}")
    if figures.waits_for:
        parts.append(f"waits for {figures.waits_for}")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"

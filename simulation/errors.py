"""Errors of the simulator."""

from serving.errors import TurntableError


class TraceUnusable(TurntableError):
    """A file cannot be replayed."""


class AssumptionsUnusable(TurntableError):
    """A file of assumptions cannot be read."""

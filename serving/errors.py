"""The error tree of the data plane.

Every error says what is wrong, where, and how to mend it, and carries its culprit as data.
Errors of one part that nobody else needs to tell apart live beside that part, below one of these.
"""


class TurntableError(Exception):
    """Base of every error that Turntable raises on purpose.

    `what` is wrong, `where` it is wrong (a file and key, a host, a request), `fix` is the next
    thing to do about it.
    """

    def __init__(self, what: str, *, where: str, fix: str) -> None:
        self.what = what
        self.where = where
        self.fix = fix
        super().__init__(f"{where}: {what}. {fix}")


class ConfigError(TurntableError):
    """The fleet file, or a setting, is not usable."""


class WeightsError(TurntableError):
    """A model's weights could not be found, read, converted or written."""


class HostError(TurntableError):
    """An engine host refused or failed a command."""


class HostUnreachable(HostError):
    """No answer from an engine host."""


class HostDown(HostUnreachable):
    """Nobody listens at an engine host's address: waiting a moment would not help."""


class PlanRefused(HostError):
    """A hotswap command was fenced off: its plan is older than one obeyed, or contradicts it."""


class WireError(TurntableError):
    """Bytes that are not the wire schema, or are of another version of it."""

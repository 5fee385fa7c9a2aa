"""The wire's version and its check. Both sides send it with every message, in `WIRE_HEADER`."""

from serving.errors import WireError

WIRE_VERSION = 2
WIRE_HEADER = "Turntable-Wire"


def check_wire_version(theirs: str | None, *, peer: str) -> None:
    """Raise WireError, naming both versions, unless `theirs` is the version spoken here."""
    if theirs != str(WIRE_VERSION):
        raise WireError(
            f"it speaks wire version {theirs or '(none said)'}, this side speaks {WIRE_VERSION}",
            where=peer,
            fix="Run gateway and engine hosts of the same wire version.",
        )

"""What a policy or the gateway tells the modelled fleet to do. Data only."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Swap:
    """Make `model` the awake model of `host`. Nothing happens if it is, or is about to be."""

    host: int
    model: int
    within_grant: bool = False
    """A switch, which the gateway decides; else a move, which a plan decides."""


@dataclass(frozen=True)
class Grant:
    """Let `host` have these models awake, whichever it is that it serves now."""

    host: int
    models: tuple[int, ...]


Command = Swap | Grant

"""One modelled engine host: what it serves, and the tiers of its models. State only."""

from dataclasses import dataclass, field

from simulation.engine import Engine


@dataclass(eq=False)
class Host:
    """One engine host."""

    number: int
    room: int
    """How many models fit into its RAM besides the awake one."""
    awake: int | None = None
    engine: Engine | None = None
    target: int | None = None
    """The model that is being swapped in."""
    swap_ends_at: float = 0.0
    swapped_at: float = float("-inf")
    asleep: list[int] = field(default_factory=list)
    """Least recently awake first."""
    version: int = 0
    """Grows with every change of what the engine will do next."""
    grant: tuple[int, ...] = ()
    """The models it may have awake, as far as a plan said so."""
    used_at: float = 0.0
    """When something last ran on it."""
    preparing: bool = False
    """It brings models of its grant into memory."""
    tier_changes: int = 0
    """Grows with every change of grant or tiers."""

    @property
    def assigned(self) -> int | None:
        """The model it serves or is on the way to serve."""
        return self.awake if self.target is None else self.target

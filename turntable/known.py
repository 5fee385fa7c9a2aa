"""Names that people type, checked against the fleet file before anybody is asked."""

from serving.errors import ConfigError
from turntable.settings import Settings


def check_model(chosen: Settings, name: str) -> None:
    """Raise ConfigError, with the known names, unless the fleet file has this model."""
    _check("model", name, [entry.name for entry in chosen.fleet().models], chosen)


def check_host(chosen: Settings, name: str) -> None:
    """Raise ConfigError, with the known names, unless the fleet file has this host."""
    _check("host", name, [entry.name for entry in chosen.fleet().hosts], chosen)


def _check(kind: str, name: str, known: list[str], chosen: Settings) -> None:
    if name not in known:
        where, fix = str(chosen.fleet_file), f"Known: {', '.join(known)}."
        raise ConfigError(f"no {kind} {name!r}", where=where, fix=fix)

"""Whether the fleet can follow an override: asked before it is put in force. Pure."""

from collections.abc import Iterable

from orchestration.allocation.operators.overrides import Override, Pin, Replicas
from orchestration.errors import OverrideRefused
from serving.config import Fleet

LONGEST_S = 30 * 86_400.0
"""An override is for a while; what is to stay belongs into the fleet file."""


def check(fleet: Fleet, override: Override, *, now: float) -> None:
    """Raise OverrideRefused, with the fix, if the fleet cannot follow `override`."""
    _check_time(override, now)
    if isinstance(override, Pin):
        _check_known("host", [override.host], [host.name for host in fleet.hosts])
        _check_known("model", override.grant, [model.name for model in fleet.models])
        _check_grant(fleet, override)
        _check_fits(fleet, override)
    elif isinstance(override, Replicas):
        _check_known("model", [override.model], [model.name for model in fleet.models])
        _check_count(fleet, override)


def _check_time(override: Override, now: float) -> None:
    if override.until <= now:
        raise _refused("it would have ended already", override, "Give it a time to come.")
    if override.until - now > LONGEST_S:
        days = LONGEST_S / 86_400
        raise _refused(
            f"it is for longer than {days:.0f} days", override, "Put it into the fleet file."
        )


def _check_known(kind: str, names: Iterable[str], known: list[str]) -> None:
    for name in names:
        if name not in known:
            raise OverrideRefused(
                f"no {kind} {name!r}", where="the override", fix=f"Known: {', '.join(known)}."
            )


def _check_grant(fleet: Fleet, pin: Pin) -> None:
    if not pin.grant:
        raise _refused("it names no model", pin, "Name the model, or the models it shares.")
    if len(set(pin.grant)) != len(pin.grant):
        raise _refused("it names a model twice", pin, "Name each model once.")
    if len(pin.grant) > 1 and not fleet.allocation.time_sharing:
        raise _refused(
            "it names several models, and no host is shared in this fleet",
            pin,
            "Name one model, or set allocation.time_sharing in the fleet file.",
        )


def _check_fits(fleet: Fleet, pin: Pin) -> None:
    for name in pin.grant:
        because = fleet.host(pin.host).why_not(fleet.model(name))
        if because is not None:
            able = [h.name for h in fleet.hosts if h.why_not(fleet.model(name)) is None]
            raise _refused(
                f"{pin.host} cannot have {name} awake: {because}",
                pin,
                f"Hosts that can: {', '.join(able) or 'none'}.",
            )


def _check_count(fleet: Fleet, override: Replicas) -> None:
    others = sum(m.min_replicas for m in fleet.models if m.name != override.model)
    room = len(fleet.hosts) - others
    if not 0 <= override.count <= room:
        raise _refused(
            f"{override.count} replicas were asked for, and there are {len(fleet.hosts)} hosts, "
            f"{others} of them for the minimums of other models",
            override,
            f"Ask for 0 to {room}.",
        )


def _refused(what: str, override: Override, fix: str) -> OverrideRefused:
    return OverrideRefused(what, where=f"the override of {override.name}", fix=fix)

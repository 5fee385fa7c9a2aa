"""What can go wrong with a request, as data: a status, a message, and what to tell the client.

How a failure is spelled in an API's own form is `serving.gateway.dialects`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from serving.errors import TurntableError


@dataclass(frozen=True)
class Refusal:
    """The answer to a request that is not served."""

    status: int
    message: str
    code: str | None = None
    """A word a program can test, such as `model_not_found`."""
    param: str | None = None
    """The parameter of the request that is to blame."""
    retry_after_s: int | None = None


class RequestRefused(TurntableError):
    """A request cannot be served; `refusal` is what its client is told."""

    def __init__(self, refusal: Refusal, *, where: str, fix: str) -> None:
        super().__init__(refusal.message, where=where, fix=fix)
        self.refusal = refusal


class GenerationFailed(RequestRefused):
    """A generation ended without being complete."""


class ReplayDiverged(TurntableError):
    """A generation begun anew said something else than what its client already has."""


def unknown_model(name: str, known: Iterable[str]) -> Refusal:
    """The fleet has no such model."""
    message = f"the model {name!r} does not exist; there are: {', '.join(known)}"
    return Refusal(404, message, "model_not_found", "model")


def parameter_refused(name: str, why: str) -> RequestRefused:
    """A parameter of the request cannot be carried to the fleet."""
    refusal = Refusal(400, f"{name} is not supported: {why}", "unsupported_parameter", name)
    return RequestRefused(refusal, where="request", fix=f"Leave {name} out.")


def no_replica(model: str, waited_s: float) -> GenerationFailed:
    """No engine host had the model awake for as long as the request may wait."""
    refusal = Refusal(
        503,
        f"no replica of {model} was ready within {waited_s:.0f} s",
        "no_replica",
        retry_after_s=max(1, min(30, round(waited_s / 2))),
    )
    return GenerationFailed(refusal, where=f"model {model}", fix="Try again later.")


def attempts_failed(model: str, attempts: int, last: str) -> GenerationFailed:
    """Attempt after attempt failed without a new token."""
    refusal = Refusal(
        502, f"{attempts} attempts failed in a row, the last with: {last}", "attempts_failed"
    )
    return GenerationFailed(refusal, where=f"model {model}", fix="See the engine hosts' logs.")


def poison(model: str, deaths: int) -> GenerationFailed:
    """Engines die of this request, so it is not tried again."""
    refusal = Refusal(
        422,
        f"{deaths} engines died while they computed this request, and got no further with it; "
        "it is not tried again",
        "poison_request",
    )
    return GenerationFailed(refusal, where=f"model {model}", fix="Change the request.")


def host_refused(model: str, message: str) -> GenerationFailed:
    """An engine cannot run this request, and no other replica's could."""
    refusal = Refusal(400, f"the engine cannot run this request: {message}", "engine_refused")
    return GenerationFailed(refusal, where=f"model {model}", fix="Change the request.")


def cannot_continue(model: str, parameters: tuple[str, ...]) -> GenerationFailed:
    """A generation that cannot be resumed exactly took another turn when it was replayed."""
    names = ", ".join(parameters)
    refusal = Refusal(
        500,
        f"the engine host was lost in mid-stream; with {names} the generation cannot be resumed, "
        "and begun anew it took another turn",
        "not_resumable",
    )
    return GenerationFailed(
        refusal, where=f"model {model}", fix="Send the request again, or without streaming."
    )

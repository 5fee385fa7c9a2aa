"""The gateway's routes: an allow list, and errors in the API's own form for everything else."""

from collections.abc import Iterable
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serving.gateway.dialects import ENDPOINTS, error_body
from serving.gateway.dispatch import Dispatcher
from serving.gateway.failures import Refusal
from serving.gateway.status import Status, dialect_of

_SERVED = (*(e.path for e in ENDPOINTS), "/v1/models", "/v1/files", "/v1/batches")
"""What clients may be looking for; told to one that asks for something else."""


def front(
    status: Status, dispatchers: dict[str, Dispatcher], batches: Iterable[Route]
) -> Starlette:
    """The root application. `dispatchers` by path; `batches` are those of files and batches."""
    return Starlette(
        routes=[
            Route("/live", status.live, methods=["GET"]),
            Route("/health", status.live, methods=["GET"]),
            Route("/ready", status.ready, methods=["GET"]),
            Route("/metrics", status.metrics, methods=["GET"]),
            Route("/fleet", status.fleet, methods=["GET"]),
            Route("/v1/models", status.models, methods=["GET"]),
            Route("/v1/models/{model}", status.model, methods=["GET"]),
            *(Route(e.path, dispatchers[e.path], methods=["POST"]) for e in ENDPOINTS),
            *batches,
        ],
        exception_handlers={HTTPException: _api_error},
    )


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = f"{request.method} {request.url.path}: {error.detail}"
    if error.status_code == HTTPStatus.NOT_FOUND:
        said += f". What is served: {', '.join(_SERVED)}"
    body = error_body(dialect_of(request), Refusal(error.status_code, said))
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)

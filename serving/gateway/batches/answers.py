"""Handlers of the Files and Batches API: who asks, and what errors become in an answer."""

from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from serving.batches import FileInUse, IllegalTransition, KeyReused, NoSuchRecord
from serving.batches.errors import BatchesError
from serving.gateway.accounts import Accounts
from serving.gateway.dialects import error_body
from serving.gateway.failures import Refusal, RequestRefused

Handler = Callable[[Request, str], Awaitable[Response]]
"""Answers a request of the account with this name."""
_CLIENT_LEFT = 499
_STATUSES: dict[type[BatchesError], tuple[int, str]] = {
    NoSuchRecord: (404, "not_found"),
    IllegalTransition: (409, "conflict"),
    FileInUse: (409, "file_in_use"),
    KeyReused: (409, "idempotency_key_reused"),
}


def answering(handler: Handler, accounts: Accounts) -> Callable[[Request], Awaitable[Response]]:
    """`handler` for requests with a good key, its errors in OpenAI's form."""

    async def answer(request: Request) -> Response:
        try:
            account = accounts.of(dict(request.headers.raw))
            return await handler(request, account.name)
        except RequestRefused as error:
            return _refusal(error.refusal)
        except BatchesError as error:
            status, code = _STATUSES.get(type(error), (500, "internal_error"))
            return _refusal(Refusal(status, f"{error.what}. {error.fix}", code))
        except ClientDisconnect:
            return Response(status_code=_CLIENT_LEFT)

    return answer


def _refusal(refusal: Refusal) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else None
    return JSONResponse(error_body("openai", refusal), status_code=refusal.status, headers=headers)

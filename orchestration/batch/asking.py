"""One request of a row to the gateway, in the flex tier.

aiohttp, as between gateway and hosts: hundreds of requests are open at once, and what the run
computes is taken from the engines where they share a machine.
"""

import time
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import aiohttp
import msgspec

from orchestration.batch.asks import Ask, Outcome
from orchestration.batch.offers import Offer, offer_of
from orchestration.batch.urgency import due_in_s
from orchestration.batch.verdict import AWAY_PAUSE_S, Busy, verdict

CONNECT_S = 10.0
LONGEST_WAIT_S = 3600.0
"""The gateway's own limit of what a request may wait for a replica."""
_PAGE_TIMEOUT = aiohttp.ClientTimeout(total=10.0)
_FLEX = msgspec.Raw(b'"flex"')
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What all requests of a run have in common."""

    base_url: str
    api_key: str
    name: str
    """Of the work they are of, such as a batch's id: requests are named by it."""
    checkpoint: str = ""
    """What partial generations of the work are kept by, the same in every run; empty: its name."""
    account: str = ""
    """Whose work it is; empty: Turntable's own."""
    due_at: float | None = None
    """Unix seconds; the gateway protects work that is nearly due."""
    request_s: float = LONGEST_WAIT_S
    """Longest wait for one answer; then it is asked for again."""


class Asker:
    """Sends rows to the gateway over one pool of connections."""

    def __init__(self, session: aiohttp.ClientSession, terms: Terms) -> None:
        self._session, self._terms = session, terms

    async def ask(self, ask: Ask, *, rows_left: int, window: int) -> Outcome:
        """The outcome of one request, one of so many that are left. Raises Busy or Faulty."""
        began = time.monotonic()
        headers = headers_of(ask, self._terms, time.time(), rows_left=rows_left, window=window)
        try:
            async with self._session.post(ask.path, data=flex(ask.body), headers=headers) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise Busy(_away(error), longest_pause_s=AWAY_PAUSE_S) from error
        heard = {name.lower(): value for name, value in answer.headers.items()}
        outcome = verdict(ask, answer.status, body, heard)
        return msgspec.structs.replace(outcome, seconds=round(time.monotonic() - began, 3))

    async def offers(self, models: Iterable[str]) -> dict[str, Offer]:
        """What the fleet offers to each model; what cannot be known says why."""
        try:
            async with self._session.get("/fleet", timeout=_PAGE_TIMEOUT) as answer:
                page = await answer.read()
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            return dict.fromkeys(models, Offer(trouble=_away(error)))
        return {model: offer_of(page, model) for model in models}


@asynccontextmanager
async def asker(terms: Terms) -> AsyncIterator[Asker]:
    """An asker whose connections are closed in the end."""
    async with aiohttp.ClientSession(
        terms.base_url,
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=terms.request_s, sock_connect=CONNECT_S),
        headers={
            "authorization": f"Bearer {terms.api_key}",
            "content-type": "application/json",
        },
    ) as session:
        yield Asker(session, terms)


def headers_of(
    ask: Ask, terms: Terms, now: float, *, rows_left: int = 1, window: int = 1
) -> dict[str, str]:
    """What the gateway is told about a row beside its body."""
    left_s = LONGEST_WAIT_S if terms.due_at is None else max(1.0, terms.due_at - now)
    headers = {
        "x-request-id": f"{terms.name}.{ask.key}.{uuid.uuid4().hex[:8]}",
        "x-turntable-checkpoint": f"{terms.checkpoint or terms.name}/{ask.key}",
        "x-turntable-wait-s": f"{min(left_s, LONGEST_WAIT_S):.0f}",
    }
    if terms.account:
        headers["x-turntable-account"] = terms.account
    if terms.due_at is not None:
        headers["x-turntable-deadline-s"] = f"{due_in_s(left_s, rows_left, window):.0f}"
    return headers


def flex(body: bytes) -> bytes:
    """The body as a batch request."""
    fields = _fields.decode(body)
    fields["service_tier"] = _FLEX
    return msgspec.json.encode(fields)


def _away(error: Exception) -> str:
    return f"the gateway is away: {str(error) or type(error).__name__}"

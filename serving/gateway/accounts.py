"""Whose a request is: API keys and the accounts they stand for.

A key is looked up by its hash; no key is kept, logged or passed on. How accounts share an engine is
the engine host's decision.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from serving.config import BATCH_ACCOUNT, ApiKey
from serving.gateway.failures import Refusal, RequestRefused

_BEARER = b"bearer "
ON_BEHALF_HEADER = "x-turntable-account"
"""Whose work a request of Turntable's own batch work is; nobody else's may say it."""


@dataclass(frozen=True)
class Account:
    """A user of the fleet, as far as fairness goes."""

    name: str
    weight: float


OPEN = Account("", 1.0)
"""Of every request, where no keys are configured."""


class Accounts:
    """The accounts of a fleet. Without keys every request is welcome.

    `own_keys` are those of the accounts that every fleet has, by their names.
    """

    def __init__(self, keys: Iterable[ApiKey], own_keys: Mapping[str, str]) -> None:
        self._by_hash = {key.sha256: Account(key.name, key.weight) for key in keys}
        self._open = not self._by_hash
        for name, own_key in own_keys.items():
            self._by_hash[sha256(own_key.encode()).hexdigest()] = Account(name, 1.0)
        self._by_name = {account.name: account for account in self._by_hash.values()}

    def of(self, headers: Mapping[bytes, bytes]) -> Account:
        """The account of a request with these headers. Raises RequestRefused (401)."""
        key = _key(headers)
        account = None if key is None else self._by_hash.get(sha256(key).hexdigest())
        if account is not None and account.name == BATCH_ACCOUNT:
            behalf = headers.get(ON_BEHALF_HEADER.encode(), b"").decode(errors="replace")
            return self._by_name.get(behalf, account)
        if account is not None:
            return account
        if self._open:
            return OPEN
        what = "no API key was sent" if key is None else "the API key is not known"
        how = "send one as `Authorization: Bearer KEY` or `x-api-key: KEY`"
        refusal = Refusal(401, f"{what}; {how}", "invalid_api_key")
        raise RequestRefused(refusal, where="request", fix="The fleet file names the keys.")


def _key(headers: Mapping[bytes, bytes]) -> bytes | None:
    bearer = headers.get(b"authorization", b"")
    if bearer.lower().startswith(_BEARER):
        return bearer[len(_BEARER) :].strip()
    return headers.get(b"x-api-key")

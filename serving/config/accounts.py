"""Who uses the gateway: the accounts of a fleet and the keys they are known by.

What a key opens is the gateway's to say; here is what stands in the fleet file.
"""

from typing import Annotated

from pydantic import Field

from serving.config.documents import Section as _Section

AccountName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._@-]{0,63}$")]

BATCH_ACCOUNT = "batch"
"""Turntable's own batch work; its key is a token of the state folder."""
OPERATOR_ACCOUNT = "operator"
"""Who has the state folder: the command line's own requests. Its key is a token there too."""
OWN_ACCOUNTS = (BATCH_ACCOUNT, OPERATOR_ACCOUNT)
"""Accounts that every fleet has, whatever keys its file names."""


class ApiKey(_Section):
    """A client of the gateway. Without any, the gateway takes every request.

    `turntable` itself needs none: it asks with a key of the state folder, `secrets/operator`, which
    also whoever runs the fleet may use. The names `operator` and `batch` are Turntable's own.

    The key itself stands nowhere: `printf %s "$KEY" | sha256sum` gives what to write here.
    """

    name: AccountName = Field(description="of the account, in events; several keys may share it")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="SHA-256 of the key, as 64 hexadecimal digits"
    )
    weight: float = Field(
        1.0, gt=0, description="share of a busy engine, against the other accounts of a class"
    )


def check_accounts(keys: list[ApiKey]) -> None:
    """Raise ValueError if an account is one of the fleet's own, or has two weights."""
    weights: dict[str, float] = {}
    for key in keys:
        if key.name in OWN_ACCOUNTS:
            raise ValueError(f"keys: the name {key.name!r} is an account of the fleet's own")
        if weights.setdefault(key.name, key.weight) != key.weight:
            raise ValueError(f"keys of {key.name}: one account has one weight")

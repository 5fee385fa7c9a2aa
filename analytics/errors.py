"""The error tree of the traffic store: its callers tell apart "away" from "refused"."""


class StoreError(Exception):
    """Base of every error about the traffic store.

    `what` is wrong, `where` it is wrong (the store's address, a table), `fix` is the next thing
    to do about it.
    """

    def __init__(self, what: str, *, where: str, fix: str) -> None:
        self.what = what
        self.where = where
        self.fix = fix
        super().__init__(f"{where}: {what}. {fix}")


class StoreUnreachable(StoreError):
    """No answer from the store, or the connection to it broke."""


class StoreRefused(StoreError):
    """The store answered and refused a statement that it cannot run."""


class TokenRefused(StoreError):
    """The store answered and refused the token."""


class StoreUnusable(StoreError):
    """The store's own process cannot open its database, or cannot serve it."""

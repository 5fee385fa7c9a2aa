"""One connection to the store, over Quack. Knows nothing of events or statistics."""

from types import TracebackType
from typing import Any, Self

import duckdb

from analytics.errors import StoreError, StoreRefused, StoreUnreachable, TokenRefused
from analytics.extensions import connect_duckdb

_LOST = ("Invalid connection id", "Failed to send message", "Could not connect")
"""Quack says by text alone that a connection is gone (its server restarted, or is away)."""


class StoreClient:
    """Runs SQL inside the store's process. Not thread-safe: one client a thread.

    It connects when it is first used, and anew after any failure: an error inside a transaction
    leaves the server's session in it, and only a new session is certainly outside.
    """

    def __init__(self, address: str, port: int, token: str) -> None:
        self.where = f"traffic store at {address}:{port}"
        self._uri = f"quack:{address}:{port}"
        self._token = token
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._attached = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def run(self, sql: str, parameters: dict[str, Any] | None = None) -> duckdb.DuckDBPyConnection:
        """Run `sql` in the store; fetch from what it returns before the next call.

        Several statements may stand in one text, the last one's result comes back. With
        `parameters` it is one statement that names them as `$name`.
        Raises StoreUnreachable, TokenRefused or StoreRefused.
        """
        text = sql if not parameters else _prepared(sql, parameters)
        try:
            return self._session().execute("FROM store.query(?)", [text])
        except duckdb.Error as error:
            self._end_session()
            raise self._explained(error) from error

    def close(self) -> None:
        """End the session; the next call connects anew."""
        connection, self._connection = self._connection, None
        self._attached = False
        if connection is not None:
            connection.close()

    def _session(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            self._connection = connect_duckdb(":memory:")
            self._connection.execute("SET http_retries = 0")
        if not self._attached:
            self._connection.execute(
                f"ATTACH {literal(self._uri)} AS store "
                f"(TYPE quack, TOKEN {literal(self._token)}, DISABLE_SSL true)"
            )
            self._attached = True
        return self._connection

    def _end_session(self) -> None:
        if self._connection is not None and self._attached:
            self._connection.execute("DETACH store")
        self._attached = False

    def _explained(self, error: duckdb.Error) -> StoreError:
        text = str(error)
        if any(sign in text for sign in _LOST):
            return StoreUnreachable(
                text.splitlines()[0], where=self.where, fix="Check that its process runs."
            )
        if "Authentication failed" in text:
            return TokenRefused(
                "the token is wrong",
                where=self.where,
                fix="Read it from the state folder that the store was started with.",
            )
        return StoreRefused(text, where=self.where, fix="Mend the statement.")


def literal(value: Any) -> str:
    """`value` as a SQL literal, quoted by DuckDB itself."""
    return str(duckdb.ConstantExpression(value))


def _prepared(sql: str, parameters: dict[str, Any]) -> str:
    bound = ", ".join(f"{name} := {literal(value)}" for name, value in parameters.items())
    return f"PREPARE statement AS {sql}\n; EXECUTE statement({bound})"

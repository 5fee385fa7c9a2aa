"""Owns the database file: opens it, serves it over Quack, removes old events, closes it cleanly."""

import ipaddress
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb
import structlog

from analytics.client import literal
from analytics.errors import StoreUnusable
from analytics.extensions import connect_duckdb
from analytics.store.retention import Retention, remove_old
from analytics.store.schema import apply_schema

CLEAN_EVERY_S = 600.0
_ANSWER_S = 1.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class StoreSettings:
    """What one store process is told."""

    database: Path
    address: str
    port: int
    token: str
    retention: Retention


def serve(settings: StoreSettings, stopping: threading.Event) -> None:
    """Serve until `stopping` is set; then write everything into the database file and close it.

    Raises StoreUnusable when the database or the port cannot be had.
    """
    _check_port_free(settings)
    connection = _open(settings.database)
    try:
        apply_schema(connection)
        uri = _listen(connection, settings)
        _log.info("store_serving", database=str(settings.database), uri=uri)
        while True:
            removed = remove_old(connection, settings.retention, time.time())
            if removed:
                _log.info("old_events_removed", rows=removed)
            if stopping.wait(CLEAN_EVERY_S):
                break
        connection.execute("CALL quack_stop(?)", [uri])
        # Open sessions must not keep the write-ahead log from being folded in.
        connection.execute("FORCE CHECKPOINT")
    finally:
        connection.close()
    _log.info("store_stopped")


def _open(database: Path) -> duckdb.DuckDBPyConnection:
    database.parent.mkdir(parents=True, exist_ok=True)
    try:
        return connect_duckdb(str(database), threads=2)
    except duckdb.Error as error:
        raise StoreUnusable(
            str(error),
            where=str(database),
            fix="Stop the process that holds it, or move a damaged file away.",
        ) from error


def _check_port_free(settings: StoreSettings) -> None:
    """Quack binds with port sharing: a second server would silently take half the clients.

    Asked by connecting, not by binding: connections that a killed server left behind keep the port
    from being bound for a while, and are in nobody's way.
    """
    family = socket.AF_INET6 if ":" in settings.address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(_ANSWER_S)
        answered = probe.connect_ex((settings.address, settings.port)) == 0
        # To a port that nobody listens on, a connection can come to be its own peer.
        if answered and probe.getsockname() != probe.getpeername():
            raise StoreUnusable(
                "another server listens there",
                where=f"{settings.address}:{settings.port}",
                fix="Stop it, or configure another port.",
            )


def _listen(connection: duckdb.DuckDBPyConnection, settings: StoreSettings) -> str:
    uri = f"quack:{settings.address}:{settings.port}"
    elsewhere = not _is_loopback(settings.address)
    connection.execute(
        f"CALL quack_serve({literal(uri)}, token = {literal(settings.token)}, "
        f"allow_other_hostname = {literal(elsewhere)}, disable_ssl = true)"
    )
    # Whoever has the token may run any SQL here; it shall reach this database and no other file.
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return uri


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"

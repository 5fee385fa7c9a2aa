"""`python -m analytics.store`: the traffic store's process."""

import argparse
import signal
import sys
import threading
from pathlib import Path

import structlog

from analytics.errors import StoreUnusable
from analytics.store.retention import Retention
from analytics.store.server import StoreSettings, serve

_DAY_S = 86_400.0


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 1 if the database or the port cannot be had."""
    _configure_logging()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        serve(_settings(arguments), stopping)
    except StoreUnusable as error:
        structlog.get_logger(__name__).error(
            "store_unusable", what=error.what, where=error.where, fix=error.fix
        )
        return 1
    return 0


def _settings(arguments: list[str] | None) -> StoreSettings:
    parser = argparse.ArgumentParser(prog="python -m analytics.store", description=__doc__)
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--keep-events-days", type=float, default=7.0)
    parser.add_argument("--keep-samples-days", type=float, default=1.0)
    given = parser.parse_args(arguments)
    return StoreSettings(
        database=given.database,
        address=given.address,
        port=given.port,
        token=_read_token(given.token_file),
        retention=Retention(
            events_s=given.keep_events_days * _DAY_S, samples_s=given.keep_samples_days * _DAY_S
        ),
    )


def _read_token(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise StoreUnusable(
            f"the token cannot be read ({error.strerror})",
            where=str(path),
            fix="Name a file that holds it with --token-file.",
        ) from error


def _configure_logging() -> None:
    """JSON lines on standard output, as every process of Turntable writes them."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            lambda _logger, _method, event: {**event, "process": "store"},
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(),
    )


if __name__ == "__main__":
    sys.exit(main())

"""DuckDB connections with Quack loaded, from the installed packages and never from a network."""

import importlib.resources
from pathlib import Path

import duckdb

from analytics.errors import StoreUnusable

_EXTENSIONS = ("httpfs", "quack")
"""Quack's client side speaks through httpfs, which must be loaded first."""


def connect_duckdb(database: str, *, threads: int = 1) -> duckdb.DuckDBPyConnection:
    """Open `database` (a path, or `:memory:`) with Quack loaded and downloads switched off."""
    connection = duckdb.connect(
        database,
        config={
            "threads": threads,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    for name in _EXTENSIONS:
        connection.load_extension(str(_extension_file(name)))
    return connection


def _extension_file(name: str) -> Path:
    package = f"duckdb_extension_{name}"
    version = f"v{duckdb.__version__}"
    folder = importlib.resources.files(package)
    path = Path(str(folder)) / "extensions" / version / f"{name}.duckdb_extension"
    if not path.is_file():
        raise StoreUnusable(
            f"it has no build of {name} for DuckDB {version}",
            where=f"package {package}",
            fix="Install the versions that pyproject.toml pins.",
        )
    return path

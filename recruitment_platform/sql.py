"""The way to a SQL file of the package, so that no statement is written in Python, and to a DuckDB that runs it.

What belongs here: finding a file's text, and its version; how every DuckDB connection is set. What does not: what is
run on it.
"""

import hashlib
import os
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import duckdb


@cache
def load_sql(room: str, name: str, language: Literal["sql", "cql"] = "sql") -> str:
    """The text of `recruitment_platform/<room>/<name>.<language>`."""
    return files("recruitment_platform").joinpath(room, f"{name}.{language}").read_text(encoding="utf-8")


def sql_version(room: str, *names: str) -> str:
    """Twelve hexadecimal digits that change with any of the files' texts."""
    return hashlib.sha256("\0".join(load_sql(room, name) for name in names).encode()).hexdigest()[:12]


def spilling(folder: str, megabytes: int) -> dict[str, str]:
    """DuckDB's settings for work that goes to disk beyond so much memory, whatever its size, on two cores.

    On more it is as much for each of them: a thread that finds no room for its own rows would fail.
    """
    return {"temp_directory": folder, "memory_limit": f"{megabytes * max(2, os.cpu_count() or 1) // 2}MB"}


def connect_duckdb(
    database: str | Path = ":memory:", *, read_only: bool = False, config: Mapping[str, Any] | None = None
) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection whose time zone is UTC and that keeps off stdout, where it would draw progress bars.

    Both are set by statements: as `config`, DuckDB refuses them before its extensions are loaded.
    """
    connection = duckdb.connect(database, read_only=read_only, config=dict(config or {}))
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    return connection

"""The way to a SQL file of the package, so that no statement is written in Python, and to a DuckDB that runs it.

What belongs here: finding a file's text, and its version; how every DuckDB connection is set. What does not: what is
run on it.
"""

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import duckdb

_SHARED_MEGABYTES = 320  # so that a day of any size is read beside a Spark driver


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
    """A DuckDB connection whose time zone is UTC and that keeps off stdout, where it would draw progress bars."""
    return _set(duckdb.connect(database, read_only=read_only, config=dict(config or {})))


def another_connection(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """One more connection to the same DuckDB, set alike."""
    return _set(connection.cursor())


def shared_duckdb() -> duckdb.DuckDBPyConnection:
    """A connection to the DuckDB that this process reads Parquet by; to begin one takes as long as to read a small day.

    All its work together spills to disk beyond some memory, and it keeps nothing of the files, which may be large.
    """
    return another_connection(_shared())


@cache
def _shared() -> duckdb.DuckDBPyConnection:
    # DuckDB makes the folder once it spills.
    folder = Path(tempfile.gettempdir(), f"recruitment-spill-{uuid4().hex}")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return connect_duckdb(config={**spilling(str(folder), _SHARED_MEGABYTES), "enable_external_file_cache": False})


def _set(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    # Not by `config`, by which DuckDB refuses these before its extensions are loaded.
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    return connection

"""The embedded lake's catalog: a SQLite file whose transactions decide what is in the lake.

What belongs here: making it, connecting to it, its statements, and saying in one line why it cannot be used. What does
not: which statements make up an append or a scan (`parquet`).
"""

import errno
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from recruitment_platform.errors import StoreUnavailableError
from recruitment_platform.sql import load_sql

STATEMENTS: Mapping[str, str] = {
    name: statement.strip()
    for name, _, statement in (
        block.partition("\n") for block in load_sql("resources/lake/sql", "statements").split("-- name: ")[1:]
    )
}
"""The statements of `lake_statements.sql`, by name."""


def create(catalog: Path, settings: Mapping[str, str]) -> None:
    """Makes the catalog whole under another name first: of several processes that create it, one gives it."""
    new = catalog.with_name(f"{catalog.name}.{uuid4().hex}.new")
    try:
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(load_sql("resources/lake/sql", "catalog"))
            values = ({"name": name, "value": value} for name, value in settings.items())
            connection.executemany(STATEMENTS["add_setting"], values)
        with suppress(FileExistsError):
            os.link(new, catalog)
        sync_folder(catalog.parent)
    finally:
        for leftover in catalog.parent.glob(f"{new.name}*"):
            leftover.unlink()


@contextmanager
def connected(catalog: Path, wait: timedelta) -> Iterator[sqlite3.Connection]:
    """A connection in autocommit mode, which waits that long for other writers; StoreUnavailableError tells why not."""
    with reported(catalog.parent):
        # mode=rw: a catalog that has gone is an error, never a new and empty one.
        address = f"{catalog.as_uri()}?mode=rw"
        with closing(
            sqlite3.connect(address, uri=True, timeout=wait.total_seconds(), isolation_level=None)
        ) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            yield connection


@contextmanager
def one_instant(connection: sqlite3.Connection) -> Iterator[None]:
    """All reads within see the catalog at one instant."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def one_change(connection: sqlite3.Connection) -> Iterator[None]:
    """What is done within becomes visible at once at the end, or not at all; there is one such change at a time."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def reported(root: Path) -> Iterator[None]:
    """Turns what the file system and SQLite raise into one line that says what to do: StoreUnavailableError."""
    try:
        yield
    except OSError as error:
        cause = error.strerror or str(error)
        raise StoreUnavailableError(f"the lake at {root} cannot be used: {cause}; {_advice(error.errno)}") from error
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError):
        raise
    except sqlite3.DatabaseError as error:
        raise StoreUnavailableError(f"the lake at {root} cannot be used: {error}; {_advice_on(error)}") from error


def sync_folder(folder: Path) -> None:
    """Makes the folder's entries durable: a new file's name is part of the folder, not of the file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _advice(number: int | None) -> str:
    match number:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG | errno.EIO:
            return "make room, or set RECRUITMENT_HOME to a folder on another disk"
        case _:
            return "make the folder writable, or set RECRUITMENT_HOME to one that is"


def _advice_on(error: sqlite3.DatabaseError) -> str:
    match error.sqlite_errorcode & 0xFF:
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            return _advice(errno.ENOSPC)
        case sqlite3.SQLITE_BUSY:
            return "another program is writing to it: try again when that has ended"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return "put catalog.sqlite back from a backup, or import the sources again into a new RECRUITMENT_HOME"
        case _:
            return _advice(None)

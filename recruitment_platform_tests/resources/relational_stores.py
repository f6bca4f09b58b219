"""The relational stores that the conformance suites run on, and what their tests share.

What belongs here: how a test opens each implementation, and small helpers to fill and look into one. No tests.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pymysql
import pytest
import sqlalchemy as sa

from recruitment_platform.addresses import MySQLAddress
from recruitment_platform.resources.relational.mysql import open_mysql
from recruitment_platform.resources.relational.store import METADATA, SqlRelationalStore, open_relational
from recruitment_platform.servers.server import Server


def _open_sqlite(folder: Path) -> SqlRelationalStore:
    return open_relational(folder / "operational.sqlite")


def _open_mysql(folder: Path) -> SqlRelationalStore:
    return open_mysql(MySQLAddress())


OPENERS: Mapping[str, Callable[[Path], SqlRelationalStore]] = {"sqlite": _open_sqlite, "mysql": _open_mysql}
"""Opens, or opens again, the store of a test's folder, or of the database that this process's environment names."""


def chosen(request: pytest.FixtureRequest) -> str:
    """The store of a parametrized fixture; the module's database is there, where it is a server's."""
    if request.param != "sqlite":
        request.getfixturevalue("mysql_environment")
    return str(request.param)


@contextmanager
def fresh_database(server: Server) -> Iterator[dict[str, str]]:
    """The environment that leads to a database of the server made for this; it is dropped at the end."""
    name = f"test{uuid4().hex[:12]}"
    ask(server, f"CREATE DATABASE {name}")
    yield server.environment() | {"RECRUITMENT_MYSQL_DATABASE": name}
    ask(server, f"DROP DATABASE {name}")


def ask(server: Server, statement: str) -> list[tuple[Any, ...]]:
    """The rows that the MySQL server answers to the statement, as its user."""
    connection = pymysql.connect(
        host=server.host, port=server.port, user=server.user, password=server.password, autocommit=True
    )
    with closing(connection), connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


ALIASES = {"$": "USD", "US$": "USD", "€": "EUR"}
FIRST = datetime(2024, 3, 1, tzinfo=UTC)


def empty(store: SqlRelationalStore) -> None:
    """Takes every row away but the lock's."""
    with store.engine.begin() as connection:
        for table in METADATA.sorted_tables:
            if table.name != "write_lock":
                connection.execute(table.delete())


def delete(store: SqlRelationalStore, physical_table: str, row_id: int) -> None:
    """Takes an operational row away, as the site may do."""
    table = METADATA.tables[physical_table]
    with store.engine.begin() as connection:
        connection.execute(table.delete().where(table.c.id == row_id))


def table_rows(store: SqlRelationalStore, physical_table: str) -> list[dict[str, Any]]:
    """All rows of a table in the order of its key, as Python sees them."""
    table = METADATA.tables[physical_table]
    with store.engine.begin() as connection:
        return [dict(row._mapping) for row in connection.execute(sa.select(table).order_by(*table.primary_key))]


def versions(store: SqlRelationalStore) -> list[dict[str, Any]]:
    """The rows of dim_jobs in the order of its key."""
    rows: list[dict[str, Any]] = store.dim_jobs()[1].to_pylist()
    return rows

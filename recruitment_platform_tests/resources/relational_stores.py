"""The relational stores that the conformance suites run on, and what their tests share.

What belongs here: how a test opens each implementation, and small helpers to fill and look into one. No tests.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from recruitment_platform.resources.relational import METADATA, SqlRelationalStore, open_relational


def _open_sqlite(folder: Path) -> SqlRelationalStore:
    return open_relational(folder / "operational.sqlite")


OPENERS: Mapping[str, Callable[[Path], SqlRelationalStore]] = {"sqlite": _open_sqlite}
"""Opens, or opens again, the store of a test's folder."""

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

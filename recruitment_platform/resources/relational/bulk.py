"""Many rows into a table at once, in the way that its database takes fastest, within the caller's transaction.

What belongs here: SQLite's and MySQL's ways. What does not: which rows, and what they replace (`store`,
`dim_jobs`).

MySQL is sent a file by LOAD DATA LOCAL, twice as fast as INSERT. That turns errors into warnings, and servers may
refuse it: so whatever is not as it should be is undone, and INSERT is tried, which tells what is wrong.
"""

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakSet

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import sqlalchemy as sa

from recruitment_platform.sql import load_sql

WORTH_A_FILE = 1000
"""Rows from which on a file is faster than INSERT."""

# "The used command is not allowed", as MySQL 5.7, MySQL 8, MariaDB and PyMySQL's server say it.
_REFUSED = frozenset({1148, 3948, 4166})
_FIELD = pacsv.WriteOptions(include_header=False, quoting_style="all_valid", null_string="NULL")

_LOG = logging.getLogger(__name__)
_refusing: WeakSet[sa.Engine] = WeakSet()


def insert(connection: sa.Connection, target: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts rows that all have the same columns, with values as the columns' types take them."""
    if not rows:
        return
    if not _loaded(connection, target, len(rows), lambda: _texts_of(connection.dialect, target, rows)):
        connection.execute(target.insert(), rows)


def insert_arrow(connection: sa.Connection, target: sa.Table, rows: pa.Table) -> None:
    """Inserts the rows of an Arrow table, which has all of the target's columns, in its order."""
    if not rows.num_rows:
        return
    if connection.dialect.name == "sqlite":
        statement = str(target.insert().compile(connection))
        stored = [_of_sqlite(column).to_pylist() for column in rows.columns]
        connection.exec_driver_sql(statement, list(zip(*stored, strict=True)))
    elif not _loaded(connection, target, rows.num_rows, lambda: _texts(rows)):
        connection.execute(target.insert(), rows.to_pylist())


def _loaded(connection: sa.Connection, target: sa.Table, count: int, texts: Callable[[], pa.Table]) -> bool:
    """Sends the rows as a file; False, having changed nothing, where that is not worth it or does not work."""
    if connection.dialect.name != "mysql" or count < WORTH_A_FILE or connection.engine in _refusing:
        return False
    rows = texts()
    quote = connection.dialect.identifier_preparer
    statement = sa.text(
        load_sql("resources/relational/sql", "mysql_load").format(
            table=quote.format_table(target), columns=", ".join(quote.quote(name) for name in rows.column_names)
        )
    )
    with tempfile.NamedTemporaryFile(prefix="recruitment-", suffix=".csv") as file:
        pacsv.write_csv(rows, file.name, _FIELD)
        savepoint = connection.begin_nested()
        driver: Any = connection.connection.driver_connection
        try:
            # On for this statement alone: a server may ask for any file of ours, whatever it was asked.
            driver._local_infile = True
            inserted = connection.execute(statement, {"path": file.name}).rowcount
            whole = inserted == count and not connection.execute(sa.text("SHOW WARNINGS")).all()
        except sa.exc.DBAPIError as error:
            if error.orig is None or error.orig.args[:1] not in {(code,) for code in _REFUSED}:
                raise
            _LOG.warning("MySQL refuses LOAD DATA LOCAL (local_infile), so rows go in by INSERT, which takes longer")
            _refusing.add(connection.engine)
            whole = False
        finally:
            driver._local_infile = False
        if whole:
            savepoint.commit()
        else:
            savepoint.rollback()
    return whole


def _texts(rows: pa.Table) -> pa.Table:
    """The rows as the file has them: times are UTC without an offset."""
    columns = []
    for column in rows.columns:
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us"))
        columns.append(column.cast(pa.string()))
    return pa.table(columns, names=rows.column_names)


def _texts_of(dialect: sa.Dialect, target: sa.Table, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    columns: dict[str, pa.Array] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        process = target.c[name].type.dialect_impl(dialect).bind_processor(dialect)
        columns[name] = pa.array(values if process is None else [process(value) for value in values])
    return _texts(pa.table(columns))


def _of_sqlite(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values as SQLAlchemy's types store them there."""
    if pa.types.is_decimal(column.type):
        micros = pc.multiply(column.cast(pa.decimal128(24, 6)), pa.scalar(1_000_000, pa.decimal128(7, 0)))
        return micros.cast(pa.int64())
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us"))
    return column.cast(pa.string()) if pa.types.is_temporal(column.type) else column

"""The relational store: the site's operational tables, rows kept as they come, dim_jobs, and the reports' `events`.

What belongs here: the store, in SQLAlchemy Core, portable between SQLite and MySQL, and how SQLite, the embedded one,
is opened. What does not: how raw rows become typed (`model.operational`), how dim_jobs evolves (`dim_jobs`), how MySQL
is opened (`mysql`), how many rows go in at once (`bulk`).

Every writing transaction first updates the one row of `write_lock`, hence writers come one after the other, in every
database alike, and what they read afterwards nobody else changes before they commit.
"""

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from recruitment_platform.errors import InputError, ReconciliationError, StoreUnavailableError, SupersededError
from recruitment_platform.model.contract import DIM_PUBLISHERS, EVENTS_LOAD, HOURLY_FACTS
from recruitment_platform.model.operational import GENERIC_TABLES, OPERATIONAL_TABLES
from recruitment_platform.model.schemas import ON_MYSQL, sqlalchemy_table
from recruitment_platform.resources.protocols import DimRefresh
from recruitment_platform.resources.relational import bulk, dim_jobs

METADATA = sa.MetaData()
"""Every table of the store."""

_WRITE_LOCK = sa.Table(
    "write_lock",
    METADATA,
    sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("taken", sa.BigInteger(), nullable=False),
    **ON_MYSQL,
)
_OPERATIONAL = {
    name: sqlalchemy_table(table.contract, METADATA, table.physical_name) for name, table in OPERATIONAL_TABLES.items()
}
_GENERIC = sa.Table(
    "generic_row",
    METADATA,
    sa.Column("table_name", sa.String(64), primary_key=True),
    sa.Column("row_hash", sa.String(64), primary_key=True),
    sa.Column("content", sa.Text(2**24 - 1), nullable=False),
    **ON_MYSQL,
)
_DIM_JOBS = dim_jobs.dim_tables(METADATA)
_EVENTS = sqlalchemy_table(HOURLY_FACTS, METADATA, "events")
_EVENTS_LOAD = sqlalchemy_table(EVENTS_LOAD, METADATA, EVENTS_LOAD.name)


@dataclass(frozen=True)
class SqlRelationalStore:
    """Implements `RelationalStore` in the database of `engine`; `where` names it to people.

    `explain` says what a failure of the database means and what to do, None where it is a mistake of ours. Every call
    is one transaction of its own: any number of threads and processes may use the store. Raises StoreUnavailableError
    where the database cannot be reached, is held, full, not writable or no database.
    """

    engine: sa.Engine
    where: str
    explain: Callable[[sa.exc.DBAPIError], str | None]

    def create_tables(self) -> None:
        """Creates what is missing; a store that is complete is only read."""
        with self._reading() as connection:
            present = set(sa.inspect(connection).get_table_names())
            if present.issuperset(METADATA.tables) and _lock_row_exists(connection):
                return
        # Unless another program does so at the same time.
        once = _WRITE_LOCK.insert().prefix_with("OR IGNORE", dialect="sqlite").prefix_with("IGNORE", dialect="mysql")
        # A transaction each: one that found a table there has read, and SQLite does not let it write any more once the
        # other program has written. MySQL commits each table that is made anyway.
        for table in METADATA.sorted_tables:
            with self._reading() as connection:
                connection.execute(CreateTable(table, if_not_exists=True))
        with self._reading() as connection:
            connection.execute(once, {"id": 1, "taken": 0})

    def make_views(self, *statements: str) -> None:
        """Makes, or makes anew, views over the tables, a statement each."""
        with self._reading() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def upsert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """Inserts or replaces operational rows by id; columns that a row lacks become null, the last of equal ids wins.

        Values are typed as `model.operational.parse_row` types them. Returns how many rows are new or changed. Raises
        InputError for a table or a column that has no contract, or a row without id.
        """
        target = _OPERATIONAL.get(table)
        if target is None:
            raise InputError(f"{table} is not an operational table; known are {', '.join(_OPERATIONAL)}")
        names = [column.name for column in target.columns]
        unknown = sorted(set().union(*rows).difference(names)) if rows else []
        if unknown:
            raise InputError(f"table {table} has no column {', '.join(unknown)}; known are {', '.join(names)}")
        given: dict[Any, tuple[Any, ...]] = {row.get("id"): tuple(row.get(name) for name in names) for row in rows}
        if None in given:
            raise InputError(f"a row of table {table} has no id")
        with self._writing() as connection:
            changed: list[int] = []
            for ids in dim_jobs.chunks(list(given)):
                found = connection.execute(sa.select(target).where(target.c.id.in_(ids)))
                stored = {row.id: tuple(row) for row in found}
                changed += [id_ for id_ in ids if stored.get(id_) != given[id_]]
                replaced = [id_ for id_ in ids if id_ in stored and stored[id_] != given[id_]]
                if replaced:
                    connection.execute(target.delete().where(target.c.id.in_(replaced)))
            bulk.insert(connection, target, [dict(zip(names, given[id_], strict=True)) for id_ in changed])
        return len(changed)

    def store_generic(self, table: str, rows: Sequence[str]) -> int:
        """Keeps rows (JSON objects' texts) of a table without contract, each text once; returns how many were new."""
        if table not in GENERIC_TABLES:
            raise InputError(f"{table} is not a table that is kept as it comes; those are {', '.join(GENERIC_TABLES)}")
        given = {hashlib.sha256(row.encode()).hexdigest(): row for row in rows}
        with self._writing() as connection:
            for hashes in dim_jobs.chunks(list(given)):
                known = connection.execute(
                    sa.select(_GENERIC.c.row_hash).where(
                        _GENERIC.c.table_name == table, _GENERIC.c.row_hash.in_(hashes)
                    )
                )
                for row_hash in known.scalars():
                    del given[row_hash]
            bulk.insert(
                connection,
                _GENERIC,
                [
                    {"table_name": table, "row_hash": row_hash, "content": content}
                    for row_hash, content in given.items()
                ],
            )
        return len(given)

    def counts(self) -> dict[str, int]:
        """Rows of every operational and generic table that has any."""
        with self._reading() as connection:
            counts = {
                name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
                for name, table in _OPERATIONAL.items()
            }
            generic = connection.execute(
                sa.select(_GENERIC.c.table_name, sa.func.count())
                .group_by(_GENERIC.c.table_name)
                .order_by(_GENERIC.c.table_name)
            )
            counts.update((name, count) for name, count in generic)
        return {name: count for name, count in counts.items() if count}

    def refresh_dim_jobs(self, as_of: datetime, currency: str, aliases: Mapping[str, str]) -> DimRefresh:
        """Brings dim_jobs up to the operational tables as of that instant, one refresh at a time.

        Raises InputError, changing nothing, where `as_of` is older than the newest refresh, or campaigns are in another
        currency than the platform's.
        """
        with self._writing() as connection:
            return dim_jobs.refresh(connection, _DIM_JOBS, _OPERATIONAL["campaign"], as_of, currency, aliases)

    def dim_jobs(self) -> tuple[int, pa.Table]:
        """(version, rows as `DIM_JOBS` by its key), of one transaction; version 0, no rows before the first refresh."""
        with self._reading() as connection:
            return dim_jobs.read(connection, _DIM_JOBS)

    def dim_publishers(self) -> pa.Table:
        """Rows as `DIM_PUBLISHERS`, by its key."""
        source = _OPERATIONAL["master_publisher"]
        with self._reading() as connection:
            rows = connection.execute(
                sa.select(
                    source.c.id, source.c.publisher_name, source.c.publisher_type, source.c.publisher_status
                ).order_by(source.c.id)
            ).all()
        return dim_jobs.arrow_rows(DIM_PUBLISHERS, rows)

    def replace_events(self, day: date, manifest: int, digest: str, rows: pa.Table) -> bool:
        """Replaces the day of the reports' `events` by the rows (as `HOURLY_FACTS`) of that manifest, with its ledger.

        Returns False, changing nothing, where that manifest is already there. Raises SupersededError where a newer one
        is, ReconciliationError where a row is of another day, or two share a key.
        """
        others = pc.unique(rows["dates"].filter(pc.not_equal(rows["dates"], day))).to_pylist()
        if others:
            raise ReconciliationError(f"mysql_events {day}: rows of {', '.join(map(str, others))} are among its own")
        with self._writing() as connection:
            loaded = connection.execute(
                sa.select(_EVENTS_LOAD.c.manifest, _EVENTS_LOAD.c.digest).where(_EVENTS_LOAD.c.dates == day)
            ).one_or_none()
            if loaded is not None:
                if tuple(loaded) == (manifest, digest):
                    return False
                if loaded.manifest > manifest:
                    raise SupersededError(
                        f"mysql_events {day}: manifest {loaded.manifest} is already there; {manifest} is older and "
                        "changes nothing"
                    )
            connection.execute(_EVENTS.delete().where(_EVENTS.c.dates == day))
            connection.execute(_EVENTS_LOAD.delete().where(_EVENTS_LOAD.c.dates == day))
            try:
                bulk.insert_arrow(connection, _EVENTS, rows.select(HOURLY_FACTS.column_names))
            except sa.exc.IntegrityError as error:
                raise ReconciliationError(
                    f"mysql_events {day}: two rows share a key, or a value is missing ({error.orig}); "
                    "the day keeps its former rows"
                ) from error
            connection.execute(
                _EVENTS_LOAD.insert(),
                {
                    "dates": day,
                    "manifest": manifest,
                    "digest": digest,
                    "rows_loaded": rows.num_rows,
                    "loaded_at": datetime.now(UTC),
                },
            )
        return True

    def events(self, first: date, last: date) -> pa.Table:
        """The rows of `events` of these days, both included, as `HOURLY_FACTS`, in the order of its key."""
        with self._reading() as connection:
            rows = connection.execute(
                sa.select(_EVENTS).where(_EVENTS.c.dates.between(first, last)).order_by(*_EVENTS.primary_key)
            ).all()
        return dim_jobs.arrow_rows(HOURLY_FACTS, rows)

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._reachable(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._reading() as connection:
            # Before anything is read: what a transaction sees in MySQL is what was committed at its first read.
            connection.execute(_WRITE_LOCK.update().values(taken=_WRITE_LOCK.c.taken + 1))
            yield connection

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        """Turns the database's failures into one line; what is a mistake of ours stays as it is."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            cause = self.explain(error)
            if cause is None:
                raise
            raise StoreUnavailableError(f"{self.where} {cause}") from error


def _lock_row_exists(connection: sa.Connection) -> bool:
    return connection.execute(sa.select(_WRITE_LOCK.c.id)).first() is not None


def open_relational(path: Path, busy_seconds: float = 30.0) -> SqlRelationalStore:
    """The embedded store, a SQLite file that is made where it is absent, its folder too.

    A writer waits `busy_seconds` for another one. Raises StoreUnavailableError, in one line, where that is not enough,
    or the file cannot be made, written or read.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailableError(
            f"the folder {path.parent} cannot be made ({error.strerror}): choose another by RECRUITMENT_HOME"
        ) from error
    # No pool: a connection is open during its transaction only, so that nothing has to close the store, and a forked
    # process never inherits an open SQLite file, which would corrupt it.
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)), poolclass=sa.NullPool)

    @sa.event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: object) -> None:
        # SQLAlchemy's own BEGIN below, not the driver's, which comes before the first write only.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {int(busy_seconds * 1000)}")
        _use_wal(connection, time.monotonic() + busy_seconds)

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    store = SqlRelationalStore(engine, str(path), _explain)
    store.create_tables()
    return store


def _use_wal(connection: sqlite3.Connection, deadline: float) -> None:
    """Readers see the last committed state while a writer works. SQLite's busy timeout does not cover the change."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


_SQLITE_CAUSES = {
    sqlite3.SQLITE_BUSY: "is held by another program: wait until it has ended, then try again",
    sqlite3.SQLITE_FULL: "cannot grow, the disk is full: nothing was changed; free some space, then try again",
    sqlite3.SQLITE_READONLY: "is not writable: nothing was changed; give write permission to the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: give write permission to it and its folder, or set RECRUITMENT_HOME",
    sqlite3.SQLITE_NOTADB: "is not a SQLite database: move it away, or set RECRUITMENT_HOME",
    sqlite3.SQLITE_CORRUPT: "is damaged: restore it from a backup, or move it away and import the tables again",
}


def _explain(error: sa.exc.DBAPIError) -> str | None:
    code = getattr(error.orig, "sqlite_errorcode", None)
    cause = _SQLITE_CAUSES.get(code & 0xFF) if code is not None else None
    if cause is None and isinstance(error, sa.exc.OperationalError):
        return f"failed: {error.orig}"
    return cause

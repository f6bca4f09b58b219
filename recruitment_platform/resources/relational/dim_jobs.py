"""dim_jobs in the relational store: its history, a slowly changing dimension of type 2, and the one way to extend it.

What belongs here: the tables of the dimension, the refresh and the read, each within a transaction of the caller.
What does not: the transaction and its lock (`store`), which columns describe a job (`transforms/dim_jobs.sql`).

A version opens at the refresh's `as_of`; a job's first one reaches back to `BEGINNING`. `opened_as_of` remembers which
refresh opened a row, so that the same `as_of` again can undo what it did, first versions included.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import pyarrow as pa
import sqlalchemy as sa

from recruitment_platform.errors import InputError
from recruitment_platform.model.contract import DIM_JOBS, Table
from recruitment_platform.model.schemas import ON_MYSQL, UtcTimestamp, arrow_schema, sqlalchemy_table
from recruitment_platform.resources.protocols import DimRefresh
from recruitment_platform.resources.relational import bulk
from recruitment_platform.sql import load_sql

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""`valid_from` of every job's first version."""

_HISTORY = ("valid_from", "valid_to", "is_current")
_SHOWN_CAMPAIGNS = 10
_CHUNK = 500  # values of an IN list: below every database's limit of bound parameters

Item = TypeVar("Item")


@dataclass(frozen=True)
class DimTables:
    """The dimension's two tables: its versions, and a log of its refreshes, numbered from 1."""

    versions: sa.Table
    refreshes: sa.Table


def dim_tables(metadata: sa.MetaData) -> DimTables:
    """Declares the tables."""
    return DimTables(
        versions=sqlalchemy_table(
            DIM_JOBS, metadata, DIM_JOBS.name, sa.Column("opened_as_of", UtcTimestamp(), nullable=False)
        ),
        refreshes=sa.Table(
            "dim_jobs_refresh",
            metadata,
            sa.Column("refresh", sa.BigInteger(), primary_key=True, autoincrement=False),
            sa.Column("version", sa.BigInteger(), nullable=False),
            sa.Column("as_of", UtcTimestamp(), nullable=False),
            sa.Column("opened", sa.BigInteger(), nullable=False),
            sa.Column("closed", sa.BigInteger(), nullable=False),
            sa.Column("total_rows", sa.BigInteger(), nullable=False),
            sa.Column("refreshed_at", UtcTimestamp(), nullable=False),
            **ON_MYSQL,
        ),
    )


def refresh(
    connection: sa.Connection,
    tables: DimTables,
    campaign: sa.Table,
    as_of: datetime,
    currency: str,
    aliases: Mapping[str, str],
) -> DimRefresh:
    """Extends the history by what `job` and its neighbours hold now; the caller's transaction holds the write lock.

    Where `as_of` is the newest refresh's, its work is first undone, in effect: only rows that end otherwise are
    written. `opened` and `closed` count the versions that this call wrote and ended. Raises InputError where `as_of`
    is older than the newest refresh, has no time zone or lies before 1970, or campaigns are in another currency.
    """
    number, version, newest = _newest(connection, tables)
    _refuse_as_of(as_of, newest)
    platform_currency = currency.strip().upper()
    _refuse_other_currencies(connection, campaign, platform_currency, aliases)

    work = _plan(_source(connection, tables, platform_currency), _standing(connection, tables, as_of), as_of)
    _apply(connection, tables, as_of, work)
    rows = connection.execute(sa.select(sa.func.count()).select_from(tables.versions)).scalar_one()
    done = DimRefresh(
        version=version + (1 if work.changed else 0),
        as_of=as_of.astimezone(UTC),
        opened=len(work.open),
        closed=len(work.close),
        rows=rows,
        changed=work.changed,
    )
    connection.execute(
        tables.refreshes.insert(),
        {
            "refresh": number + 1,
            "version": done.version,
            "as_of": as_of,
            "opened": done.opened,
            "closed": done.closed,
            "total_rows": rows,
            "refreshed_at": datetime.now(UTC),
        },
    )
    return done


def read(connection: sa.Connection, tables: DimTables) -> tuple[int, pa.Table]:
    """(version, rows as `DIM_JOBS` by its key): one transaction's view where the caller's transaction is a snapshot."""
    _, version, _ = _newest(connection, tables)
    columns = [tables.versions.c[name] for name in DIM_JOBS.column_names]
    rows = connection.execute(sa.select(*columns).order_by(*(tables.versions.c[name] for name in DIM_JOBS.key)))
    return version, arrow_rows(DIM_JOBS, rows.all())


def arrow_rows(table: Table, rows: Sequence[Sequence[Any]]) -> pa.Table:
    """The rows, whose values are in the contract's order, as Arrow."""
    schema = arrow_schema(table)
    columns: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else ((),) * len(schema)
    return pa.Table.from_arrays(
        [pa.array(values, type=item.type) for values, item in zip(columns, schema, strict=True)], schema=schema
    )


def chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """The items in pieces small enough for the list of an IN."""
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]


def _newest(connection: sa.Connection, tables: DimTables) -> tuple[int, int, datetime | None]:
    """(number, version, as_of) of the newest refresh; (0, 0, None) before the first."""
    log = tables.refreshes
    row = connection.execute(
        sa.select(log.c.refresh, log.c.version, log.c.as_of).order_by(log.c.refresh.desc()).limit(1)
    ).one_or_none()
    return (0, 0, None) if row is None else (row.refresh, row.version, row.as_of)


def _refuse_as_of(as_of: datetime, newest: datetime | None) -> None:
    if as_of.tzinfo is None:
        raise InputError(f"dim_jobs: as of {as_of.isoformat()} has no time zone; write {as_of.isoformat()}Z for UTC")
    if as_of < BEGINNING:
        raise InputError(f"dim_jobs: as of {_instant(as_of)} lies before {_instant(BEGINNING)}, where history begins")
    if newest is not None and as_of < newest:
        raise InputError(
            f"dim_jobs: as of {_instant(as_of)} is older than the newest refresh, as of {_instant(newest)}: "
            "the past is not rewritten, refresh as of that instant or later"
        )


def _instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _refuse_other_currencies(
    connection: sa.Connection, campaign: sa.Table, currency: str, aliases: Mapping[str, str]
) -> None:
    known = {alias.strip().casefold(): meant.strip().upper() for alias, meant in aliases.items()}
    units = connection.execute(
        sa.select(campaign.c.id, campaign.c.unit_budget)
        .where(campaign.c.unit_budget.is_not(None))
        .order_by(campaign.c.id)
    )
    others = [
        f"{row.id} ({row.unit_budget.strip()})"
        for row in units
        if row.unit_budget.strip()
        and known.get(row.unit_budget.strip().casefold(), row.unit_budget.strip().upper()) != currency
    ]
    if others:
        more = f" and {len(others) - _SHOWN_CAMPAIGNS} more" if len(others) > _SHOWN_CAMPAIGNS else ""
        raise InputError(
            f"dim_jobs is not refreshed: the platform's currency is {currency}, but not that of "
            f"campaign {', '.join(others[:_SHOWN_CAMPAIGNS])}{more}; "
            "correct them, or set RECRUITMENT_CURRENCY or RECRUITMENT_CURRENCY_ALIASES"
        )


Version = tuple[Any, ...]
"""The attributes of a version, in the order of the contract, `job_id` first."""


@dataclass(frozen=True)
class _Standing:
    """By job: the versions in force just before an instant, and what earlier refreshes as of that instant did."""

    before: Mapping[int, Version]
    opened: Mapping[int, Version]
    closed: frozenset[int]


@dataclass(frozen=True)
class _Work:
    """What makes the rows of one `as_of` right: jobs whose version to drop, reopen or close, and versions to open."""

    drop: Sequence[int]
    reopen: Sequence[int]
    close: Sequence[int]
    open: Sequence[tuple[datetime, Version]]

    @property
    def changed(self) -> bool:
        return bool(self.drop or self.reopen or self.close or self.open)


def _attributes(tables: DimTables) -> list[sa.Column[Any]]:
    return [tables.versions.c[name] for name in DIM_JOBS.column_names if name not in _HISTORY]


def _source(connection: sa.Connection, tables: DimTables, currency: str) -> dict[int, Version]:
    """Every job as the operational tables hold it now."""
    attributes = _attributes(tables)
    # Typed by the dimension's own columns, so that both sides of the comparison are what Python sees, in every
    # database: compared there, a collation may hold 'Cook' and 'cook' equal.
    statement = sa.text(load_sql("transforms", "dim_jobs")).columns(
        *(sa.column(column.name, column.type) for column in attributes)
    )
    return {row[0]: tuple(row) for row in connection.execute(statement, {"currency": currency})}


def _standing(connection: sa.Connection, tables: DimTables, as_of: datetime) -> _Standing:
    table = tables.versions
    rows = connection.execute(
        sa.select(*_attributes(tables), table.c.valid_to, table.c.opened_as_of).where(
            sa.or_(table.c.is_current == 1, table.c.opened_as_of == as_of, table.c.valid_to == as_of)
        )
    )
    before: dict[int, Version] = {}
    opened: dict[int, Version] = {}
    closed: set[int] = set()
    for *values, valid_to, opened_as_of in rows:
        job_id = values[0]
        if opened_as_of == as_of:
            opened[job_id] = tuple(values)
        else:
            before[job_id] = tuple(values)
            if valid_to == as_of:
                closed.add(job_id)
    return _Standing(before=before, opened=opened, closed=frozenset(closed))


def _plan(source: Mapping[int, Version], standing: _Standing, as_of: datetime) -> _Work:
    """What leads from the rows as they are to those of a refresh that had only `standing.before`."""
    before, opened, closed = standing.before, standing.opened, standing.closed
    due = {job_id: version for job_id, version in source.items() if before.get(job_id) != version}
    return _Work(
        drop=[job_id for job_id, version in opened.items() if due.get(job_id) != version],
        reopen=[job_id for job_id in closed if job_id not in due],
        close=[job_id for job_id in due if job_id in before and job_id not in closed],
        open=[
            (as_of if job_id in before else BEGINNING, version)
            for job_id, version in due.items()
            if opened.get(job_id) != version
        ],
    )


def _apply(connection: sa.Connection, tables: DimTables, as_of: datetime, work: _Work) -> None:
    table = tables.versions
    for jobs in chunks(work.drop):
        connection.execute(table.delete().where(table.c.opened_as_of == as_of, table.c.job_id.in_(jobs)))
    for jobs in chunks(work.reopen):
        connection.execute(
            table.update()
            .where(table.c.valid_to == as_of, table.c.job_id.in_(jobs))
            .values(valid_to=None, is_current=1)
        )
    for jobs in chunks(work.close):
        connection.execute(
            table.update().where(table.c.is_current == 1, table.c.job_id.in_(jobs)).values(valid_to=as_of, is_current=0)
        )
    names = [column.name for column in _attributes(tables)]
    bulk.insert(
        connection,
        table,
        [
            {
                **dict(zip(names, version, strict=True)),
                "valid_from": valid_from,
                "valid_to": None,
                "is_current": 1,
                "opened_as_of": as_of,
            }
            for valid_from, version in work.open
        ],
    )
